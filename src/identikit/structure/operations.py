"""What one operation of the dispatcher does: whether it only looks, what it writes into, what it adds."""

from __future__ import annotations

from typing import Any

import torch

from identikit.structure.trees import leaves

_SUMS = ("aten::add", "aten::sub", "aten::addcmul")
_ADDITIONS = (*_SUMS, *(f"{name}_" for name in _SUMS))


def memory(tensor: torch.Tensor) -> int:
    """A number that all views of one piece of memory share."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and wrapper tensors have no storage of their own
        return id(tensor)


def only_looks(func: Any) -> bool:
    """Whether an operation makes a view and reads no value."""
    return any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)


def written(func: Any, args: Any, kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The arguments that an operation changes in place, `out=` among them."""
    arguments = func._schema.arguments
    given = [*zip(arguments, args, strict=False), *((each, kwargs.get(each.name)) for each in arguments[len(args) :])]
    changed = (value for argument, value in given if argument.alias_info is not None and argument.alias_info.is_write)
    return [tensor for value in changed for _, tensor in leaves(value) if isinstance(tensor, torch.Tensor)]


def operands(inputs: list[torch.Tensor], tensor: torch.Tensor) -> tuple[int, ...]:
    """The memory of the other floating tensors among `inputs` with as many values as `tensor`."""
    alike = (value for value in inputs if value.is_floating_point() and value.numel() == tensor.numel())
    return tuple(memory(value) for value in alike if memory(value) != memory(tensor))


def adds(func: Any) -> bool:
    return func._schema.name in _ADDITIONS


def term(func: Any, args: Any, kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The floating tensors that an addition adds up, each as it goes into the sum; nothing for another operation."""
    name = func._schema.name
    if name not in _ADDITIONS:
        return []
    if name.startswith("aten::addcmul"):
        joined = [args[0], args[1] * args[2] * kwargs.get("value", 1)]
    else:
        sign = -1 if name.startswith("aten::sub") else 1
        joined = [args[0], args[1] * (sign * kwargs.get("alpha", 1))]
    return [value for value in joined if isinstance(value, torch.Tensor) and value.is_floating_point()]
