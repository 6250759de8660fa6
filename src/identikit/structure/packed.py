"""Quantised weights: packed where no parameter lists them, in one byte a value, or in a class of their own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from identikit.structure.trees import leaves


def packed(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every quantised tensor in the state of `model`, with its name; of values packed by twos it counts the bytes."""
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, tuple):  # what torch.ao's layers give for their packed weights: (weight, bias)
            yield from ((name, each) for _, each in leaves(value) if isinstance(each, torch.Tensor))
        elif isinstance(value, torch.Tensor) and (value.is_quantized or _one_byte(value.dtype) or _foreign(value)):
            yield name, value


def size_of(module: nn.Module) -> int:
    """How many values the weights of `module` have: its parameters, and what is packed beside them."""
    own = {id(value): value for value in module.parameters()}
    beside = {id(value): value for _, value in packed(module)}
    return sum(value.numel() for value in (own | beside).values())


def has_matrix(module: nn.Module) -> bool:
    """Whether a weight of `module` has two dimensions or more."""
    return any(value.ndim > 1 for value in module.parameters()) or any(value.ndim > 1 for _, value in packed(module))


def _one_byte(dtype: torch.dtype) -> bool:
    return dtype.itemsize == 1 and dtype is not torch.bool


def _foreign(value: torch.Tensor) -> bool:
    """Whether a library outside torch made the tensor's class."""
    return type(value.data).__module__.split(".")[0] != "torch"
