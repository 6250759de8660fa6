"""Whether two outputs are the same, leaf by leaf; caches and the states of recurrent models are left out."""

from __future__ import annotations

from typing import Any

import torch

from .stacks import tensors

CLOSE = 1e-5  # of the largest value
_NO_RESULT = ("past_key_values", "cache_params", "state", "mems", "hidden_states", "attentions")


def results(output: Any) -> list[torch.Tensor]:
    """The tensors of an output that are its result."""
    return [value.clone() for place, value in tensors(output) if not (place and place[0] in _NO_RESULT)]


def apart(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest difference as a share of the largest value; infinite where the forms differ."""
    if len(one) != len(other) or any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(one, other, strict=True)):
        return float("inf")
    return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    if torch.equal(a, b) or a.numel() == 0:
        return 0.0
    if not a.is_floating_point():
        return float("inf")
    a, b = a.double(), b.double()
    plain = b.abs() < 1e20  # a mask's value is no result
    if not bool(a.isfinite().all()) or not torch.equal(plain, a.abs() < 1e20) or not bool(plain.any()):
        return float("inf")
    return float((a[plain] - b[plain]).abs().max() / b[plain].abs().max().clamp_min(1e-12))
