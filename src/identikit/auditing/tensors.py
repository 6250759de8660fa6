"""Every tensor inside a value, however it is wrapped: containers, dataclasses, objects with attributes."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from identikit.structure.trees import children

_CLOSED = (nn.Module, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, torch.dtype, torch.device)
_PLAIN = (str, bytes, int, float, complex, type(None))


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors of `value` in order; the same tensor twice where it stands there twice. Modules are not opened."""
    found: list[torch.Tensor] = []
    seen: set[int] = set()
    open_ = [value]
    while open_:
        each = open_.pop()
        if isinstance(each, torch.Tensor):
            found.append(each)
        elif not isinstance(each, (*_PLAIN, *_CLOSED)) and id(each) not in seen:
            seen.add(id(each))
            inner = children(each)
            within = getattr(each, "__dict__", {}).items() if inner is None else inner
            open_ += reversed([child for _, child in within])
    return found
