"""Weights without values: where their inputs belong."""

from __future__ import annotations

import torch
from torch import nn

from identikit.structure.valueless import home_of


class Picks(nn.Module):
    """timm's FasterNet: the constructor chooses one of two methods."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.forward = self.forward_twice

    def forward_twice(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.linear(x))


def test_a_forward_chosen_among_a_modules_own_fetches_no_weights() -> None:
    with torch.device("meta"):
        assert home_of(nn.Sequential(Picks())) == torch.device("meta")
    assert home_of(nn.Sequential(Picks())) == torch.device("cpu")


def test_a_forward_put_around_a_module_may_fetch_its_weights() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(2, 2))
    model[0].forward = lambda x: x
    assert home_of(model) is None
