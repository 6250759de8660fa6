"""A copy of one layer of a model: its own weights, and everything that it shares with the rest still shared."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from identikit.errors import RoleError


def copy_of(model: nn.Module, path: str, instead: nn.Module | None = None) -> nn.Module:
    """A deep copy of the layer at `path` (or of `instead`, itself such a copy, with other values).

    What it refers to outside itself (a configuration) is not copied.

    Raises RoleError where the layer, or a part of it with weights, stands in another place of the model too: a copy
    would not share it any more.
    """
    layer = model.get_submodule(path)
    slots = [place for place, module in model.named_modules(remove_duplicate=False) if module is layer]
    if len(slots) > 1:
        raise RoleError(f'"{path}" stands in several places ({", ".join(slots)}): one layer, used again. Copy another.')
    outside = list(_around(model, layer))
    for name, module in layer.named_modules():
        if any(each is module for each in outside) and any(True for _ in module.parameters()):
            raise RoleError(
                f'"{path}" shares its "{name}" with another layer, and a copy would have weights of its own there. '
                "Copy a layer that shares nothing."
            )
    source = layer if instead is None else instead
    held = _held_outside(outside, [layer, source])
    try:
        with torch.inference_mode(False):  # weights made in inference mode never learn
            copied = copy.deepcopy(source, held)
    except (TypeError, RuntimeError, ValueError) as cause:
        raise RoleError(f'"{path}" cannot be copied: {" ".join(str(cause).split()).rstrip(".")}.') from cause
    weights = {id(value) for value in source.parameters()}
    if copied is source or any(id(value) in weights for value in copied.parameters()):
        raise RoleError(
            f'"{path}" cannot be copied: {type(source).__name__} says by itself how it is copied, and its copy goes on '
            "using the weights of the layer itself. Copy another layer."
        )
    return copied


def _held_outside(outside: Sequence[nn.Module], layers: Iterable[nn.Module]) -> dict[int, Any]:
    """By identity, what the modules outside hold and a copy is to share: all but the layer's own modules and weights.

    An attribute that registers no module (`object.__setattr__`, a dictionary) may hold those outside too: the copy has
    its own all the same.
    """
    inner = [module for layer in layers for module in layer.modules()]
    own = {id(value) for module in inner for value in _own(module)}
    own |= {id(module) for module in inner} - {id(module) for module in outside}
    held: dict[int, Any] = {}
    for module in outside:
        held |= {id(value): value for value in [module, *vars(module).values(), *_own(module)] if id(value) not in own}
    return held


def _around(module: nn.Module, layer: nn.Module) -> Iterator[nn.Module]:
    """Every module outside `layer`, those that also stand inside it included."""
    yield module
    for child in module.children():
        if child is not layer:
            yield from _around(child, layer)


def _own(module: nn.Module) -> list[Any]:
    """What belongs to a module: its tensors and its containers."""
    return [*module._parameters.values(), *module._buffers.values()]
