"""The one measure of "the same numbers": bit-equal is 0, what the dtype allows up to 1, another shape infinite."""

from __future__ import annotations

import math

import pytest
import torch

from identikit.structure.compare import difference, equal

ONES = torch.ones(3)


def test_bit_equal_is_zero() -> None:
    assert difference({"a": ONES, "b": (ONES, None)}, {"a": ONES.clone(), "b": (ONES, None)}) == 0


@pytest.mark.parametrize(
    ("dtype", "share"),
    [(torch.float64, 1e-9), (torch.float32, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 2e-2)],
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
