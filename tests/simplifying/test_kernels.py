"""Which kernels can be laid over one another, and which cannot."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from identikit.simplifying.affine import Affine
from identikit.simplifying.kernels import merged_kernels

MAIN = nn.Conv2d(4, 4, 3, padding=1)
SCALE = Affine(torch.full((4,), 2.0, dtype=torch.float64), torch.ones(4, dtype=torch.float64))


def test_a_scale_lies_in_the_middle() -> None:
    made = merged_kernels(MAIN, [MAIN], [SCALE])
    assert made is not None
    weight, bias = made
    added = weight - MAIN.weight.double()
    assert torch.equal(added[:, :, 1, 1], 2 * torch.eye(4, dtype=torch.float64))
    assert int(added.count_nonzero()) == 4
    assert torch.equal(bias, MAIN.bias.double() + 1)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 1, groups=2),
        nn.Conv2d(4, 4, 1, 2),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 5, padding=2),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, (1, 3), padding=(0, 1), padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.ConvTranspose2d(4, 4, 1),
        nn.Conv1d(4, 4, 1),
    ],
)  # fmt: skip
def test_what_does_not_fit(other: nn.Module) -> None:
    assert merged_kernels(MAIN, [MAIN, other], []) is None


@pytest.mark.parametrize(
    "main",
    [
        nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 2, padding=1), nn.Conv2d(4, 8, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2), nn.Conv2d(4, 4, 3, padding="same"),
    ],
)  # fmt: skip
def test_where_no_point_reads_where_it_writes(main: nn.Module) -> None:
    assert merged_kernels(main, [main], [SCALE]) is None


def test_a_point_minds_no_padding() -> None:
    main = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    assert merged_kernels(main, [main, nn.Conv2d(4, 4, 1)], []) is not None
