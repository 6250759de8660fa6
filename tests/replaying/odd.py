"""Models that a careless replay gets wrong: each hides something between its layers, its passes or its examples."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from identikit.batches import Batch
from zoo import weigh

WIDTH, TOKENS, DEPTH = 16, 5, 5
T = torch.Tensor


class Block(nn.Module):
    """x + f(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, WIDTH)
        self.down = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: T) -> T:
        return x + self.down(torch.tanh(self.up(self.norm(x))))


class Net(nn.Module):
    """A stem, a stack, a head on the mean of the tokens."""

    block: Callable[[], nn.Module] = Block

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList(type(self).block() for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: T) -> Any:
        return self.head(self.stack(self.stem(x)).mean(1))

    def stack(self, x: T) -> T:
        for layer in self.layers:
            x = layer(x)
        return x


class Shared(Net):
    """One layer called again and again, as in ALBERT."""

    def stack(self, x: T) -> T:
        for number in range(2 * DEPTH):
            x = self.layers[number % 2](x)
        for layer in self.layers[2:]:
            x = layer(x)
        return x


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


class DrawsBefore(Net):
    """Noise in the stem, by three generators."""

    def forward(self, x: T) -> Any:
        noise = torch.randn(WIDTH) + random.random() + float(np.random.rand())
        return super().forward(x + noise)


class Dropping(Block):
    """Dropout that is never off."""

    def forward(self, x: T) -> T:
        return nn.functional.dropout(super().forward(x), 0.2, training=True)


class DrawsInside(Net):
    """Every layer draws, the edited ones too."""

    block = Dropping


class DrawsBehind(Net):
    """Noise behind the stack."""

    def stack(self, x: T) -> T:
        return super().stack(x) + torch.randn(WIDTH)


class Counts(Net):
    """A buffer and an attribute that grow from pass to pass, and are read."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(WIDTH))
        self.passes = 0

    def stack(self, x: T) -> T:
        self.passes += 1
        self.seen += x.mean((0, 1))
        return super().stack(x) + self.seen * self.passes


class Remembers(Net):
    """What the last pass saw is added to this one."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[T] = []

    def stack(self, x: T) -> T:
        x = super().stack(x)
        self.memory.append(x.mean(0))
        return x + sum(self.memory)


class Leaving(Block):
    """Leaves a value for its parent."""

    def forward(self, x: T) -> T:
        y = super().forward(x)
        self.aux = y.pow(2).mean((1, 2))
        return y


class Auxiliary(Net):
    """The parent gathers what its layers left, as routers' losses are."""

    block = Leaving

    def forward(self, x: T) -> Any:
        out = super().forward(x)
        return out, sum(getattr(layer, "aux", 0.0) for layer in self.layers)


class Told(Block):
    """Reads and writes a notebook that it was given."""

    def forward(self, x: T, notes: dict[str, T]) -> T:  # type: ignore[override]
        y = super().forward(x + notes["last"])
        notes["last"] = y.mean(1, keepdim=True)
        return y


class Notebook(Net):
    """A dictionary goes along with the stream, and changes on the way."""

    block = Told

    def stack(self, x: T) -> T:
        notes = {"last": torch.zeros_like(x[:, :1])}
        for layer in self.layers:
            x = layer(x, notes)
        return x + notes["last"]


class Peeking(Block):
    """Reads what another layer left in a place that both know."""

    def __init__(self) -> None:
        super().__init__()
        self.board: dict[str, T] = {}

    def forward(self, x: T) -> T:
        y = super().forward(x)
        if "first" in self.board:
            return y + self.board["first"].mean(1, keepdim=True)
        self.board["first"] = y
        return y


class SharedBoard(Net):
    """The layers talk to each other past their arguments."""

    block = Peeking

    def __init__(self) -> None:
        super().__init__()
        for layer in self.layers:
            layer.board = self.layers[0].board  # type: ignore[assignment]

    def forward(self, x: T) -> Any:
        self.layers[0].board.clear()  # type: ignore[operator, union-attr]
        return super().forward(x)


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


class ControlFlow(Net):
    """Which layers run depends on the values."""

    def stack(self, x: T) -> T:
        for number, layer in enumerate(self.layers):
            if number % 2 and bool(x.mean() > 0):
                continue
            x = layer(x)
        return x


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


class Defaults(Net):
    """Layers whose second argument is left out."""

    block = Scaled


class Scripted(Net):
    """Layers inside TorchScript beside plain ones."""

    def __init__(self) -> None:
        super().__init__()
        weigh(self)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch asks for other ways to write a graph down
            self.stem = torch.jit.script(self.stem)  # type: ignore[assignment]
            self.after = torch.jit.script(nn.Linear(WIDTH, WIDTH))

    def stack(self, x: T) -> T:
        return self.after(super().stack(x))


class Dense(Net):
    """Every layer takes what all before it made, as in a DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.joins = nn.ModuleList(nn.Linear((number + 1) * WIDTH, WIDTH) for number in range(DEPTH))

    def stack(self, x: T) -> T:
        made = [x]
        for join, layer in zip(self.joins, self.layers, strict=True):
            made.append(layer(join(torch.cat(made, -1))))
        return sum(made)  # type: ignore[return-value]


class LongSkip(Net):
    """The first half is added to the second, last to first; through a view, so that the tensors are others."""

    def stack(self, x: T) -> T:
        kept = []
        for layer in self.layers[:2]:
            x = layer(x)
            kept.append(x.flatten(1))
        for layer in self.layers[2:]:
            x = layer(x)
            if kept:
                x = x + kept.pop().unflatten(1, x.shape[1:])
        return x


class LateSkip(Net):
    """What the first layer made is added behind the last, and nowhere before."""

    def stack(self, x: T) -> T:
        x = first = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(x)
        return x + first


class Pairs(nn.Module):
    """Two streams, each reading the other."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Block(), Block()

    def forward(self, pair: tuple[T, T]) -> tuple[T, T]:
        a, b = pair
        a = a + self.two(b)
        return a, b + self.one(a)


class TwoStreams(Net):
    block = Pairs

    def stack(self, x: T) -> T:
        pair = (x, x * 0.5)
        for layer in self.layers:
            pair = layer(pair)
        return pair[0] + pair[1]


class Writing(Block):
    """Writes into its input, and into what others hold."""

    def forward(self, x: T) -> T:
        y = super().forward(x)
        x += 1.0
        y *= 0.5
        return y


class InPlace(Net):
    """Activations and additions in place, between the layers too."""

    block = Writing

    def stack(self, x: T) -> T:
        before = x.clone()
        for layer in self.layers:
            x = layer(x)
            x += before
            before = x
            x = torch.nn.functional.relu_(x * 1.0)
        return x


class Inference(Net):
    """Inference tensors do not count how often they are written into."""

    @torch.inference_mode()
    def forward(self, x: T) -> Any:
        x = self.stem(x)
        for layer in self.layers:
            y = layer(x)
            x += 0.1 * y
        return self.head(x.mean(1))


class Automatic(Net):
    """The layers run in another precision, as their parent says."""

    def stack(self, x: T) -> T:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().stack(x).float()


class HandsOutAll(Net):
    """All streams are part of the output."""

    def forward(self, x: T) -> Any:
        x = self.stem(x)
        streams = [x]
        for layer in self.layers:
            x = layer(x)
            streams.append(x)
        return {"logits": self.head(x.mean(1)), "streams": tuple(streams)}


class Sorted(Net):
    """The examples change their order on the way: in a larger batch, across batches."""

    def stack(self, x: T) -> T:
        x = self.layers[0](x)
        order = x.mean((1, 2)).argsort()
        x = x[order]
        for layer in self.layers[1:]:
            x = layer(x)
        return x[order.argsort()]


class Direct(Net):
    """Calls forward past the hooks, and a layer inside another by its own name."""

    def stack(self, x: T) -> T:
        for layer in self.layers:
            x = layer.forward(x)
        return x


class Captured(Net):
    """Took the layers' forwards when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = [layer.forward for layer in self.layers[1:3]]

    def stack(self, x: T) -> T:
        x = self.layers[0](x)
        for call in self.calls:
            x = call(x)
        for layer in self.layers[3:]:
            x = layer(x)
        return x


class Lists(nn.Module):
    """Takes a list and appends to it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Block()

    def forward(self, x: T, history: list[T]) -> T:
        y = self.inner(x)
        history.append(y)
        return y


class History(Net):
    """A list that the layers fill and the model reads."""

    block = Lists

    def stack(self, x: T) -> T:
        history: list[T] = []
        for layer in self.layers:
            x = layer(x, history)
        return x + sum(history)


class Exits(Net):
    """Ends early where it is sure of all examples."""

    def stack(self, x: T) -> T:
        for layer in self.layers:
            x = layer(x)
            if float(x.abs().max()) > 4.5:
                break
        return x


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


class Reentrant(Net):
    """A layer that calls another one of the stack inside."""

    def __init__(self) -> None:
        super().__init__()
        inner = self.layers[4]

        class Outer(Block):
            def forward(self, x: T) -> T:
                return inner(super().forward(x)) * 0.5

        self.layers[2] = Outer()

    def stack(self, x: T) -> T:
        for layer in self.layers[:4]:
            x = layer(x)
        return x


class Cached(Net):
    """A tensor that is made in the first pass and kept."""

    def stack(self, x: T) -> T:
        if not hasattr(self, "table"):
            self.table = torch.linspace(0, 1, WIDTH)
        return super().stack(x + self.table)


class KeyedByShape(Net):
    """What is kept depends on the first batch: a pass leaves it, and the next one of another size makes it anew."""

    def stack(self, x: T) -> T:
        if getattr(self, "rows", None) != len(x):
            self.rows, self.shift = len(x), x.mean().detach()
        return super().stack(x + self.shift)


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
    Net, Shared, Recurrent, TimeFirst, DrawsBefore, DrawsInside, DrawsBehind, Counts, Remembers, Auxiliary, Notebook,
    SharedBoard, BatchStatistics, BatchMean, Capacity, ControlFlow, NumbersAlong, Defaults, Scripted, Dense, LongSkip,
    LateSkip, TwoStreams, InPlace, Inference, Automatic, HandsOutAll, Sorted, Direct, Captured, History, Exits,
    Queries, Folded, Reacting, Reentrant, Cached, KeyedByShape, Masks,
)  # fmt: skip


def built(kind: type[Net]) -> nn.Module:
    """The model with weights under which every layer matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (kind() if kind is Scripted else weigh(kind())).eval()


def batches() -> list[Batch]:
    """Three of three examples, one of another length, one of one example."""
    draw = torch.Generator().manual_seed(7)
    sizes = [(3, TOKENS), (3, TOKENS), (2, TOKENS), (1, TOKENS)]
    return [Batch(args=(torch.randn(*size, WIDTH, generator=draw),), examples=size[0]) for size in sizes]
