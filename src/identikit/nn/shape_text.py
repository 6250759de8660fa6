"""How a shape, a kind or a dtype is written in a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def shape_text(value: Any) -> str:
    """`2x3x8`; `a single number` for a tensor without dimensions, `a tuple` for what is no tensor."""
    if not isinstance(value, torch.Tensor):
        return kind_text(value)
    return size_text(value.shape)


def size_text(shape: Sequence[int]) -> str:
    """`2x3x8`; `a single number` for no dimensions."""
    return "x".join(map(str, shape)) or "a single number"


def dtype_text(value: torch.Tensor) -> str:
    """`float32`, without the library's name."""
    return str(value.dtype).removeprefix("torch.")


def kind_text(value: Any) -> str:
    """The class of a value with its article: `an int`."""
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
