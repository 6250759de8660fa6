"""The one measure of "the same numbers": bit-equal is 0, what the dtype allows up to 1, another shape infinite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.errors import InputsError
from identikit.families.anatomy import anatomy_of
from identikit.structure.compare import comparable, difference, equal

ONES = torch.ones(3)


def test_bit_equal_is_zero() -> None:
    assert difference({"a": ONES, "b": (ONES, None)}, {"a": ONES.clone(), "b": (ONES, None)}) == 0


@pytest.mark.parametrize(
    ("dtype", "share"),
    [(torch.float64, 1e-9), (torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 8e-3)],
)
def test_a_difference_is_a_share_of_what_the_dtype_allows(dtype: torch.dtype, share: float) -> None:
    values = torch.tensor([100.0, 1.0], dtype=dtype)
    assert equal(values, values + torch.tensor([0.0, 50 * share], dtype=dtype))
    assert not equal(values, values + torch.tensor([0.0, 300 * share], dtype=dtype))


@pytest.mark.parametrize(
    "other",
    [
        torch.ones(4),
        torch.ones(3, dtype=torch.float64),
        torch.tensor([1.0, 1.0, math.nan]),
        torch.tensor([1.0, 1.0, math.inf]),
        (ONES, ONES),
        [],
    ],
)
def test_other_shapes_dtypes_or_numbers_that_are_none_are_infinitely_far(other: object) -> None:
    assert difference(ONES, other) == math.inf
    assert not equal(ONES, other)


def test_equal_infinities_are_equal_and_whole_numbers_must_be() -> None:
    masked = torch.tensor([0.0, -math.inf])
    assert difference(masked, masked.clone()) == 0
    assert equal(torch.tensor([1.0, -math.inf]), torch.tensor([1.0 + 1e-7, -math.inf]))
    assert not equal(torch.tensor([1.0, math.inf]), torch.tensor([1.0 + 1e-7, -math.inf]))
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 3])) == math.inf


def test_on_the_meta_device_only_shapes_are_compared() -> None:
    assert difference(torch.ones(2, device="meta"), torch.ones(2, device="meta")) == 0
    assert difference(torch.ones(2, device="meta"), torch.ones(3, device="meta")) == math.inf


class Holder:
    """An output class of a user's own, which may lead back to itself."""

    def __init__(self, value: Any) -> None:
        self.value, self.me, self.name = value, self, "any"


class Slotted:
    __slots__ = ("unset", "value")

    def __init__(self, value: Any) -> None:
        self.value = value


WRAPS: list[Callable[[torch.Tensor], Any]] = [
    Holder,
    Slotted,
    lambda value: {"a": [Holder(value)]},
    torch.Tensor.tolist,
    torch.Tensor.numpy,
    lambda value: np.array([value.numpy(), None], dtype=object),
    lambda value: value.sum().item(),
    lambda value: (value * 1j).tolist(),
    lambda value: torch.complex(value, value),
    lambda value: int(value.sum()),
    lambda value: torch.distributions.Normal(value, 1.0),
    lambda value: torch.nested.nested_tensor([value, value[:2]]),
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_numbers_are_found_wherever_they_are(wrap: Callable[[torch.Tensor], Any]) -> None:
    assert comparable(wrap(ONES))
    assert difference(wrap(ONES), wrap(ONES.clone())) == 0
    assert not equal(wrap(ONES), wrap(ONES + 1))


@pytest.mark.parametrize("output", [None, "text", [], {}, Holder("text"), nn.Linear(2, 2), torch.zeros(0), print])
def test_an_output_without_a_number_is_never_equal(output: object) -> None:
    assert not comparable(output)
    assert difference(output, output) in (0.0, math.inf)
    assert isinstance(output, torch.Tensor) or difference(output, output) == math.inf


def test_the_same_numbers_under_other_names_are_others() -> None:
    assert not equal({"a": ONES, "b": ONES * 2}, {"b": ONES, "a": ONES * 2})
    assert difference({"a": ONES}, {"b": ONES}) == math.inf
    assert difference({"a": ONES, "b": ONES * 2}, {"b": ONES * 2, "a": ONES}) == 0


@pytest.mark.parametrize("mask", [-1e4, -1e9, torch.finfo(torch.float32).min])
def test_masks_hide_nothing(mask: float) -> None:
    values = torch.tensor([1.0, -2.0, 0.5, mask])
    assert equal(values, values * (1 - 1e-6))
    assert not equal(values, values + torch.tensor([0.1, 0.0, 0.0, 0.0]))
    assert not equal(values, values + torch.tensor([1e-3, 0.0, 0.0, 0.0]))
    assert not equal(values, values * torch.tensor([1.0, 1.0, 1.0, 1.001]))
    assert equal(torch.full((3,), mask), torch.full((3,), mask) * (1 - 1e-6))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_allow_a_rounding_and_no_other_scale(dtype: torch.dtype) -> None:
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rounding = 1 + torch.finfo(dtype).eps * (torch.rand(4000, generator=torch.Generator().manual_seed(1)) - 0.5)
    assert equal((values * rounding).to(dtype), values.to(dtype))
    assert not equal((values * 1.02).to(dtype), values.to(dtype))


def test_a_single_wrong_value_among_many_shows() -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    other = values.clone()
    other[7] += 1e-3
    assert not equal(values, other)


def test_a_model_whose_output_holds_no_number_is_refused_at_once() -> None:
    class Says(nn.Sequential):
        def forward(self, x: torch.Tensor) -> Any:
            return f"{super().forward(x).shape}"

    with pytest.raises(InputsError, match="the output of Says holds nothing that can be compared"):
        anatomy_of(Says(nn.Linear(3, 3), nn.Linear(3, 3)), ONES)
