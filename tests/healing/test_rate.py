"""The learning rate where none is given."""

from __future__ import annotations

import pytest
from torch import nn

from identikit.healing.rate import rate_for


@pytest.mark.parametrize(("width", "rate"), [(8, 2e-3), (128, 1.4e-3), (384, 2.7e-4), (768, 9.4e-5), (4096, 7.6e-6)])
def test_the_wider_the_smaller(width: int, rate: float) -> None:
    assert rate_for(nn.Sequential(nn.Linear(width, 2), nn.LayerNorm(2))) == rate


def test_half_of_the_weights_decide() -> None:
    assert rate_for(nn.Sequential(nn.Linear(384, 384), nn.Linear(128, 8))) == 2.7e-4
    assert rate_for(nn.Sequential(nn.Linear(384, 2), nn.Linear(128, 128))) == 1.4e-3
    frozen = nn.Sequential(nn.Linear(384, 384).requires_grad_(False), nn.Linear(128, 8))
    assert rate_for(frozen) == 1.4e-3


def test_adapters_take_larger_steps() -> None:
    assert rate_for(nn.Linear(768, 768), adapters=True) == 9.4e-4
    assert rate_for(nn.Linear(8, 8), adapters=True) == 5e-3
