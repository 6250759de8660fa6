"""How a residual block joins its branch and its shortcut; None where their shapes do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import fx, nn

from identikit.nn.dtypes import autocast_is_on
from identikit.nn.shortcuts import projection


class Joins(Protocol):
    """What a merge needs to know of the block."""

    dims: int
    gate: nn.Module | None


class HighwayGate(nn.Module):
    """How much of the branch passes, between 0 and 1: `sigmoid(W skip + b)`; the rest comes from the shortcut.

    `b` starts at -2, so that a fresh block mostly carries its input on (Srivastava et al. 2015, arXiv 1505.00387,
    section 2.2).

    Shape:
        `[..., features, *spatial]` in, the same out.
    """

    BIAS = -2.0

    def __init__(self, features: int, *, dims: int = 0) -> None:
        super().__init__()
        self.weigh = projection(features, features, dims=dims, norm=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights, and the bias that carries."""
        self.weigh.reset_parameters()  # type: ignore[operator]
        nn.init.constant_(self.weigh.bias, self.BIAS)  # type: ignore[arg-type]

    def forward(self, skip: torch.Tensor) -> torch.Tensor:
        """The share of the branch, feature by feature."""
        return torch.sigmoid(self.weigh(skip))


def add(block: Joins, out: torch.Tensor, skip: torch.Tensor) -> torch.Tensor | None:
    """The sum, never broadcast."""
    return out + skip if fits(out, skip) else None


def concat(block: Joins, out: torch.Tensor, skip: torch.Tensor) -> torch.Tensor | None:
    """Both, the shortcut's features first."""
    features = -1 - block.dims
    return torch.cat([skip, out], dim=features) if fits(out, skip, apart_from=features) else None


def gate(block: Joins, out: torch.Tensor, skip: torch.Tensor) -> torch.Tensor | None:
    """A learned share of each."""
    if not fits(out, skip) or block.gate is None:
        return None
    share = block.gate(skip)
    joined: torch.Tensor = share * out + (1 - share) * skip
    return joined


MERGES: dict[str, Callable[[Joins, torch.Tensor, torch.Tensor], torch.Tensor | None]] = {
    "add": add,
    "concat": concat,
    "gate": gate,
}


def fits(out: object, skip: object, *, apart_from: int | None = None) -> bool:
    """Whether shapes and dtypes are equal, one dimension left out of the comparison."""
    if not isinstance(out, torch.Tensor) or not isinstance(skip, torch.Tensor):
        return isinstance(skip, fx.Proxy)  # a graph being traced by fx has no shapes to compare
    same = out.shape == skip.shape if apart_from is None else same_but(out, skip, apart_from)
    return same and (out.dtype == skip.dtype or _cast_apart(out, skip))


def _cast_apart(out: torch.Tensor, skip: torch.Tensor) -> bool:
    """Whether it was autocast that made two dtypes of one."""
    between = {torch.float32, torch.get_autocast_dtype(skip.device.type)} if autocast_is_on(skip) else set()
    return {out.dtype, skip.dtype} == between


def same_but(out: torch.Tensor, skip: torch.Tensor, apart_from: int) -> bool:
    """Whether the shapes are equal in every dimension but one, counted from the last."""
    if out.ndim != skip.ndim or out.ndim < -apart_from:
        return False
    return all(
        a == b for at, (a, b) in enumerate(zip(out.shape, skip.shape, strict=True)) if at != out.ndim + apart_from
    )
