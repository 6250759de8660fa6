"""What a removed branch looked like: its modules without memory, so that a checkpoint can hold zeros in its place."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.places import inside
from identikit.surgery.carried import first_paths

_LIKENESS = "_likeness"
_NOT_COPIED = (TypeError, RuntimeError, NotImplementedError, AttributeError, ValueError)


@dataclass(frozen=True)
class Likeness:
    """The modules of a removed layer with weights on the meta device; buffers that are saved keep their values.

    `shared`: its weights that other layers used too (own name to theirs, in the paths of the model first loaded).
    """

    module: nn.Module
    shared: Mapping[str, tuple[str, ...]]


def likeness_of(model: nn.Module, path: str) -> Likeness | None:
    """The likeness of the layer at `path`, before it is taken out; None for a layer that cannot be copied."""
    layer = model.get_submodule(path)
    memory: dict[int, Any] = {id(value): _without_memory(value) for value in _tensors(model)}
    for module in layer.modules():
        kept = (value for name, value in module._buffers.items() if name not in module._non_persistent_buffers_set)
        memory |= {id(value): value for value in kept if value is not None}
    try:
        return Likeness(copy.deepcopy(layer, memory), _shared(model, path))
    except _NOT_COPIED:
        return None


def remember(stand_in: nn.Module, likeness: Likeness | None) -> None:
    """Let a stand-in hold `likeness` as plain data: neither the model's modules nor its weights show it."""
    vars(stand_in)[_LIKENESS] = likeness


def remembered(module: nn.Module) -> Likeness | None:
    """The likeness that a stand-in holds; None for any other module, and where the layer could not be copied."""
    found = vars(module).get(_LIKENESS)
    return found if isinstance(found, Likeness) else None


def zeros_like(likeness: Likeness, device: torch.device, dtype: torch.dtype | None) -> nn.Module:
    """The modules of `likeness` with zeros for weights, of `dtype` where that is given and they are floating."""
    made = copy.deepcopy(likeness.module)
    zeros: dict[int, nn.Parameter] = {}
    for module in made.modules():
        for name, value in module._parameters.items():
            if value is not None:
                kind = dtype if dtype is not None and value.is_floating_point() else value.dtype
                zero = torch.zeros(value.shape, dtype=kind, device=device)
                module._parameters[name] = zeros.setdefault(id(value), nn.Parameter(zero, requires_grad=False))
    return made


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def _without_memory(value: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(value, device="meta")
    return nn.Parameter(empty, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else empty


def _shared(model: nn.Module, path: str) -> dict[str, tuple[str, ...]]:
    names: dict[int, list[str]] = defaultdict(list)
    for name, value in model.named_parameters(remove_duplicate=False):
        names[id(value)].append(name)
    found: dict[str, tuple[str, ...]] = {}
    for name, value in model.get_submodule(path).named_parameters(remove_duplicate=False):
        others = [other for other in names[id(value)] if not inside(other, path)]
        if others:
            found[name] = tuple(first_paths(model, others))
    return found
