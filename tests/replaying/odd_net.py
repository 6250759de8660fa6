"""The network that all odd ones are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

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
