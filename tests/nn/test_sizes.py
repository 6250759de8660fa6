"""What can be read from a branch, and what must be asked for."""

from __future__ import annotations

import pytest
from torch import nn

from identikit.nn import Residual, ReZero
from identikit.nn.sizes import Sizes, sizes_of


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        (nn.Linear(3, 5), Sizes(3, 5, 1, 0)),
        (nn.Sequential(nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 5), nn.Dropout()), Sizes(3, 5, 1, 0)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3, stride=2), nn.MaxPool2d(2)), Sizes(3, 5, 4, 2)),
        (nn.Sequential(nn.Sequential(nn.Conv1d(3, 6, 1)), nn.GroupNorm(2, 6)), Sizes(3, 6, 1, 1)),
        (nn.Conv2d(3, 5, 3, stride=(2, 1)), Sizes(3, 5, (2, 1), 2)),
        (nn.ConvTranspose2d(3, 5, 3, stride=2), Sizes(3, 5, None, 2)),
        (nn.Sequential(Custom(), nn.Linear(4, 5)), Sizes(None, 5, None, 0)),
        (nn.Sequential(nn.Linear(3, 4), Custom()), Sizes(3, None, None, 0)),
        (nn.Sequential(nn.ReLU(), nn.Dropout()), Sizes(None, None, 1, 0)),
        (nn.Sequential(), Sizes(None, None, 1, 0)),
        (Custom(), Sizes(None, None, None, 0)),
        (nn.LazyLinear(5), Sizes(None, 5, 1, 0)),
        (Residual(nn.Linear(3, 5), "project"), Sizes(3, 5, 1, 0)),
        (nn.Embedding(3, 5), Sizes(None, None, 1, 0)),
        (nn.Sequential(nn.Linear(3, 6), nn.GLU()), Sizes(3, None, None, 0)),
        (nn.Sequential(nn.Linear(3, 6), ReZero(), nn.PReLU()), Sizes(3, 6, 1, 0)),
        (nn.Sequential(nn.MaxPool2d(2), Residual(nn.Conv2d(3, 3, 1), "project_all")), Sizes(3, 3, 2, 2)),
        (nn.Sequential(nn.Conv2d(3, 3, 1, stride=2), nn.MaxPool2d(2, stride=[2, 4])), Sizes(3, 3, (4, 8), 2)),
        (nn.Sequential(nn.Conv1d(3, 3, 1), nn.Conv2d(3, 3, 1)), Sizes(3, 3, 1, None)),
    ],
)
def test_sizes(branch: nn.Module, expected: Sizes) -> None:
    assert sizes_of(branch) == expected
