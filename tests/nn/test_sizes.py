"""What can be read from a branch, and what must be asked for."""

from __future__ import annotations

import pytest
from torch import nn

from identikit.nn import Residual
from identikit.nn.sizes import Sizes, sizes_of


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        (nn.Linear(3, 5), Sizes(3, 5, 1, None)),
        (nn.Sequential(nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 5), nn.Dropout()), Sizes(3, 5, 1, None)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3, stride=2), nn.MaxPool2d(2)), Sizes(3, 5, 4, 2)),
        (nn.Sequential(nn.Sequential(nn.Conv1d(3, 6, 1)), nn.GroupNorm(2, 6)), Sizes(3, 6, 1, 1)),
        (nn.Conv2d(3, 5, 3, stride=(2, 1)), Sizes(3, 5, (2, 1), 2)),
        (nn.ConvTranspose2d(3, 5, 3, stride=2), Sizes(3, 5, 1, 2)),
        (nn.Sequential(Custom(), nn.Linear(4, 5)), Sizes(None, 5, 1, None)),
        (nn.Sequential(nn.Linear(3, 4), Custom()), Sizes(3, None, 1, None)),
        (nn.Sequential(nn.ReLU(), nn.Dropout()), Sizes(None, None, 1, None)),
        (nn.Sequential(), Sizes(None, None, 1, None)),
        (Custom(), Sizes(None, None, 1, None)),
        (nn.LazyLinear(5), Sizes(None, 5, 1, None)),
        (Residual(nn.Linear(3, 5), "project"), Sizes(3, 5, 1, None)),
        (nn.Embedding(3, 5), Sizes(None, None, 1, None)),
    ],
)
def test_sizes(branch: nn.Module, expected: Sizes) -> None:
    assert sizes_of(branch) == expected
