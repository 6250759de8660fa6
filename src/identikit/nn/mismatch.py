"""What a residual block says when its two ways do not fit: both sizes, and what would."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from identikit.nn.merges import same_but
from identikit.nn.shape_text import dtype_text, kind_text, shape_text
from identikit.nn.shortcuts import projection_parameters
from identikit.nn.sizes import Stride


class Described(Protocol):
    """What the message needs to know of the block."""

    dims: int
    merge: str
    shortcut: nn.Module
    preactivation: nn.Module | None
    made_shortcut: bool


def sizes_differ(in_features: int, out_features: int, stride: Stride, dims: int, preactivated: bool) -> str:
    """An identity shortcut around a branch that changes sizes."""
    does = f"maps {in_features} to {out_features} features"
    if in_features == out_features:
        does = f"strides by {stride}"
    count = projection_parameters(in_features, out_features, dims, preactivated=preactivated)
    more = f"adds {count:,} parameters"
    pad = ' or shortcut="pad"' if out_features >= in_features else ""
    return f'Residual: the branch {does} but the shortcut is the identity. Use shortcut="project" ({more}){pad}.'


def sizes_unknown(missing: list[str], why: str) -> str:
    """A shortcut that needs sizes which the branch does not say."""
    given = ", ".join(f"{name}=" for name in missing)
    return f"Residual: {why} needs sizes that cannot be read from the branch. Give {given}."


def mismatch(block: Described, x: torch.Tensor, out: Any, skip: Any) -> str:
    """Two ways that gave different shapes at a call."""
    for way, made in (("branch", out), ("shortcut", skip)):
        if not isinstance(made, torch.Tensor):
            return (
                f"Residual: the {way} returned {kind_text(made)}, not a tensor. "
                "Make it return the tensor to add: wrap it in a module whose forward picks it."
            )
    if out.dtype != skip.dtype:
        return (
            f"Residual: the branch makes {dtype_text(out)} and the shortcut {dtype_text(skip)}; "
            "their sum would be cast. Cast the branch's output: out.to(x.dtype), or run the block under torch.autocast."
        )
    features = -1 - block.dims
    if type(block.shortcut) is nn.Identity and block.merge != "concat" and same_but(out, skip, features):
        return sizes_differ(skip.shape[features], out.shape[features], 1, block.dims, block.preactivation is not None)
    ways = "joined along the features" if block.merge == "concat" else "added without broadcasting"
    found = f"from {shape_text(x)} the branch makes {shape_text(out)} and the shortcut {shape_text(skip)}"
    return f"Residual: {found}; they cannot be {ways}. {_fix(block)}"


def _fix(block: Described) -> str:
    if type(block.shortcut) is nn.Identity:
        return 'Make the branch keep the size, or use shortcut="project" with in_features=, out_features= and stride=.'
    if not block.made_shortcut:
        return 'Make the shortcut give what the branch gives, or let it be made: shortcut="project".'
    return "Give in_features=, out_features=, stride= and dims= as the branch has them."
