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
    """The tensors of `value` in order; the same tensor twice where it stands there twice. Modules are not opened.

    What torch.func works with (vmap, grad, jvp) is passed over: such a tensor has no memory of its own.
    """
    found: list[torch.Tensor] = []
    seen: set[int] = set()
    open_ = [value]
    while open_:
        each = open_.pop()
        if isinstance(each, torch.Tensor):
            found += [] if is_wrapped(each) else [each]
        elif not isinstance(each, (*_PLAIN, *_CLOSED)) and id(each) not in seen:
            seen.add(id(each))
            inner = children(each)
            open_ += reversed(_attributes(each) if inner is None else [child for _, child in inner])
    return found


def is_wrapped(tensor: torch.Tensor) -> bool:
    """Whether a tensor stands for another one inside vmap, grad or jvp."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def _attributes(value: Any) -> list[Any]:
    slots = (name for kind in type(value).__mro__ for name in kind.__dict__.get("__slots__", ()))
    return [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
