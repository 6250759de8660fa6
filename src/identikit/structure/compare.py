"""Are two outputs the same numbers? The one measure that every proof uses."""

from __future__ import annotations

import math
from typing import Any

import torch

from identikit.structure.trees import leaves

#: The largest difference, relative to the largest value, that two ways of computing one output may have.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 2e-2}


def difference(one: Any, other: Any) -> float:
    """The largest difference between two outputs, as a share of what their dtype allows: up to 1 they are equal.

    0 is bit-equal; infinity where they have other tensors, other shapes, or not a number on one side only.
    """
    first, second = _tensors(one), _tensors(other)
    if len(first) != len(second):
        return math.inf
    return max((_one_difference(a, b) for a, b in zip(first, second, strict=True)), default=0.0)


def equal(one: Any, other: Any) -> bool:
    """Whether two outputs are the same up to what their dtype allows."""
    return difference(one, other) <= 1


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for _, leaf in leaves(tree) if isinstance(leaf, torch.Tensor)]


def _one_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    if a.is_meta or a.numel() == 0 or torch.equal(a, b.to(a.device)):
        return 0.0
    if not a.is_floating_point():
        return math.inf
    left, right = a.detach().double().cpu(), b.detach().double().cpu()
    finite = left.isfinite()
    if not torch.equal(finite, right.isfinite()) or not _same_strange(left[~finite], right[~finite]):
        return math.inf
    left, right = left[finite], right[finite]
    if left.numel() == 0:
        return 0.0
    scale = max(float(right.abs().max()), 1e-12)
    return float((left - right).abs().max()) / scale / _TOLERANCE.get(a.dtype, 1e-5)


def _same_strange(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether infinities have the same sign, and what is no number is so on both sides."""
    return torch.equal(left.isnan(), right.isnan()) and torch.equal(left[~left.isnan()], right[~right.isnan()])
