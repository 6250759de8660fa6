"""A network that says how many of its layers ran, and metrics that read it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from identikit.batches import Batch
from small_net import Block, Net
from zoo import weigh


def loss_of(value: float) -> Any:
    """A lower-is-better metric: 1 for the full model, `value` more for each layer that is gone."""

    def cost(output: torch.Tensor, batch: Batch, reference: Any) -> torch.Tensor:
        # The head of Counted returns how many layers ran.
        return 1 + value * (4 - output[:, 0])

    cost.higher_is_better = False  # type: ignore[attr-defined]
    return cost


class Counted(Net):
    """Its output is how many of its layers ran."""

    def forward(self, x: torch.Tensor, labels: Any = None) -> torch.Tensor:
        start = torch.zeros_like(x)
        for layer in self.layers:
            start = layer(start)
        return start


class Adds(Block):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 + 0 * self.branch(x)


@pytest.fixture
def counted() -> Any:
    model = weigh(Counted())
    model.layers = nn.ModuleList(Adds() for _ in range(4))
    return model.eval()


def left(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Higher is better: the share of the layers that ran, 1 for the full model."""
    return output[:, 0] / 4
