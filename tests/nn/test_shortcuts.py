"""Zero padding and projection: which side, which positions, how many parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import PadShortcut, projection
from identikit.nn.shortcuts import projection_parameters, shortcut_projection


@pytest.mark.parametrize(
    ("side", "expected"),
    [("both", [0, 1, 2, 0, 0]), ("front", [0, 0, 0, 1, 2]), ("behind", [1, 2, 0, 0, 0])],
)
def test_the_side_of_the_zeros(side: str, expected: list[int]) -> None:
    """Three new features on both sides: one before, two behind; an odd remainder goes behind."""
    x = torch.tensor([1.0, 2.0])
    assert PadShortcut(2, 5, side=side)(x).tolist() == expected
    picture = PadShortcut(2, 5, side=side, dims=2)(x.reshape(1, 2, 1, 1))
    assert picture.flatten().tolist() == expected


def test_it_equals_the_reference_of_the_public_cifar_weights() -> None:
    """`F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4))`, akamaster/pytorch_resnet_cifar10."""
    x = torch.randn(2, 16, 7, 8)
    theirs = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8), "constant", 0)
    assert torch.equal(PadShortcut(16, 32, stride=2, dims=2)(x), theirs)


def test_average_takes_every_position_and_does_not_count_what_is_not_there() -> None:
    x = torch.arange(1.0, 6.0).reshape(1, 1, 5)
    assert PadShortcut(1, 1, stride=2, dims=1, down="average")(x).flatten().tolist() == [1.5, 3.5, 5]
    assert PadShortcut(1, 1, stride=2, dims=1)(x).flatten().tolist() == [1, 3, 5]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_both_ways_down_give_the_same_shape(dims: int, leading: tuple[int, ...]) -> None:
    for size in range(1, 8):
        x = torch.randn(*leading, 2, *[size] * dims)
        shapes = {PadShortcut(2, 3, stride=4, dims=dims, down=down)(x).shape for down in ("subsample", "average")}
        assert shapes == {(*leading, 3, *[-(-size // 4)] * dims)}


def test_a_stride_of_its_own_for_each_direction() -> None:
    x = torch.randn(1, 3, 6, 6)
    assert PadShortcut(3, 3, stride=(2, 1), dims=2)(x).shape == (1, 3, 3, 6)
    assert projection(3, 4, stride=(2, 1), dims=2)(x).shape == (1, 4, 3, 6)


@pytest.mark.parametrize("dims", [0, 1, 2, 3])
@pytest.mark.parametrize("preactivated", [False, True])
def test_the_parameters_of_a_projection(dims: int, preactivated: bool) -> None:
    module = shortcut_projection(5, 7, 1, dims, preactivated=preactivated)
    promised = projection_parameters(5, 7, dims, preactivated=preactivated)
    assert sum(parameter.numel() for parameter in module.parameters()) == promised
    assert module(torch.randn(2, 5, *[4] * dims)).shape == (2, 7, *[4] * dims)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": "left"}, 'PadShortcut: no side="left". Use one of "both", "front", "behind".'),
        (
            {"down": "averag"},
            'PadShortcut: no down="averag". Did you mean "average"? Use one of "subsample", "average".',
        ),
        ({"stride": 2}, "PadShortcut: stride=2 needs a spatial dimension to stride over. Say dims=1, 2 or 3."),
        (
            {"stride": 0, "dims": 1},
            "PadShortcut: stride=0; a stride is a whole number from 1 on. Use 1 to keep every position.",
        ),
        ({"stride": (2, 2), "dims": 1}, "PadShortcut: stride=(2, 2) has 2 numbers for dims=1. Give one number."),
    ],
)
def test_what_it_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BlockError) as error:
        PadShortcut(2, 4, **arguments)
    assert str(error.value) == message


def test_its_line_says_what_is_not_the_default() -> None:
    assert repr(PadShortcut(2, 4)) == "PadShortcut(2, 4, side=both, dims=0)"
    strided = PadShortcut(2, 4, stride=2, dims=2, down="average")
    assert repr(strided) == "PadShortcut(2, 4, side=both, dims=2, stride=2, down=average)"
