"""Models that draw, remember, or leave something beside what they return."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import nn

from replaying.odd_net import WIDTH, Block, Net, T


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


ODD: tuple[type[Net], ...] = (
    DrawsBefore,
    DrawsInside,
    DrawsBehind,
    Counts,
    Remembers,
    Auxiliary,
    Notebook,
    SharedBoard,
    Captured,
    History,
    Cached,
    KeyedByShape,
)
