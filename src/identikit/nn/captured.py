"""Whether a call is followed without its values, which then cannot decide which way to go."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx


def is_captured(*values: Any) -> bool:
    """Whether torch.compile, torch.export, torch.jit.trace, torch.fx or the meta device follows this call.

    A graph holds one way through the code. Where a plain call would look at the values and skip arithmetic, a captured
    one computes both ways and selects.
    """
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return traced or any(map(_is_empty, values))


def _is_empty(value: Any) -> bool:
    """Whether there is nothing to look at: a placeholder of torch.fx, a tensor on the meta device."""
    return isinstance(value, fx.Proxy) or (isinstance(value, torch.Tensor) and value.is_meta)
