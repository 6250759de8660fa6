"""Models in which the batch lies elsewhere, or the examples of a batch meet."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from replaying.odd_net import TOKENS, WIDTH, Block, Net, T


class Recurrent(Net):
    """An LSTM in the middle: its state has the batch in the second dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(WIDTH, WIDTH, 2)

    def stack(self, x: T) -> T:
        for layer in self.layers[:2]:
            x = layer(x)
        x = x + self.lstm(x.transpose(0, 1))[0].transpose(0, 1)
        for layer in self.layers[2:]:
            x = layer(x)
        return x


class TimeFirst(Net):
    """The batch is the second dimension of the stream."""

    def stack(self, x: T) -> T:
        return super().stack(x.transpose(0, 1)).transpose(0, 1)


class BatchStatistics(Net):
    """Batch norm without running statistics: who else is in the batch matters."""

    def __init__(self) -> None:
        super().__init__()
        for layer in self.layers:
            layer.norm = nn.BatchNorm1d(TOKENS, track_running_stats=False)


class Centred(Block):
    """Takes the mean of the batch away."""

    def forward(self, x: T) -> T:
        return super().forward(x - x.mean(0, keepdim=True))


class BatchMean(Net):
    block = Centred


class Routed(Block):
    """A layer that only the half of all tokens goes through that wants it most."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, 1)

    def forward(self, x: T) -> T:
        flat = x.reshape(-1, WIDTH)
        chosen = self.router(flat)[:, 0].topk(len(flat) // 2).indices
        out = flat.clone()
        out[chosen] = super().forward(flat[chosen])
        return out.reshape(x.shape)


class Capacity(Net):
    """Capacity-limited routing."""

    block = Routed


class Scaled(Block):
    def forward(self, x: T, size: float = 1.0) -> T:  # type: ignore[override]
        return super().forward(x * size)


class NumbersAlong(Net):
    """A number made of the stream goes to the next layer."""

    block = Scaled

    def stack(self, x: T) -> T:
        for layer in self.layers:
            x = layer(x, size=1.0 / (1.0 + float(x.abs().mean())))
        return x


class Sorted(Net):
    """The examples change their order on the way: in a larger batch, across batches."""

    def stack(self, x: T) -> T:
        x = self.layers[0](x)
        order = x.mean((1, 2)).argsort()
        x = x[order]
        for layer in self.layers[1:]:
            x = layer(x)
        return x[order.argsort()]


class Queries(Net):
    """The layers work on learned queries, which the examples meet only behind them: a stream without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(TOKENS, WIDTH))

    def forward(self, x: T) -> Any:
        queries = self.stack(self.queries)
        return self.head(((self.stem(x) @ queries.mT).softmax(-1) @ queries).mean(1))


class Folded(Net):
    """The batch and the tokens are one dimension of the stream."""

    def stack(self, x: T) -> T:
        return super().stack(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Steered(Block):
    """Takes another way where its whole call is large."""

    def forward(self, x: T) -> T:
        return super().forward(x) if float(x.abs().mean()) > 1.0 else super().forward(-x)


class Reacting(Net):
    """Layers that read a value of all examples."""

    block = Steered


class Nothing(Block):
    """Returns what it was given, the very tensor, with a None beside it."""

    def forward(self, x: T, mask: T | None = None) -> tuple[T, T | None]:  # type: ignore[override]
        return (super().forward(x), mask)


class Masks(Net):
    """A mask that is handed through from layer to layer, and is None for some batches."""

    block = Nothing

    def stack(self, x: T) -> T:
        mask = (x[..., 0] > 0) if len(x) == 3 else None
        for layer in self.layers:
            x, mask = layer(x, mask)
        return x if mask is None else x * mask.unsqueeze(-1)


ODD: tuple[type[Net], ...] = (
    Recurrent,
    TimeFirst,
    BatchStatistics,
    BatchMean,
    Capacity,
    NumbersAlong,
    Sorted,
    Queries,
    Folded,
    Reacting,
    Masks,
)
