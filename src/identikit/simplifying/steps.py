"""What a rewrite does to a model, as data: the same steps are taken on the float64 copy and on the model itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.results.simplified import Rewritten


@dataclass(frozen=True)
class Drop:
    """Take a member out of its nn.Sequential; the others keep their names."""

    at: str

    def take(self, model: nn.Module) -> None:
        parent, _, name = self.at.rpartition(".")
        del model.get_submodule(parent)._modules[name]


@dataclass(frozen=True)
class Put:
    """Put layers of the model itself, one behind the other, into a slot: (name, path) each; none is the identity."""

    at: str
    parts: tuple[tuple[str, str], ...] = ()

    def take(self, model: nn.Module) -> None:
        parent, _, name = self.at.rpartition(".")
        parts = OrderedDict((name, model.get_submodule(path)) for name, path in self.parts)
        new = next(iter(parts.values())) if len(parts) == 1 else nn.Sequential(parts) if parts else nn.Identity()
        model.get_submodule(parent)._modules[name] = new.eval()


@dataclass(frozen=True, eq=False)
class Weights:
    """New weights, in float64, for a linear layer or a convolution; sizes it says of itself follow."""

    at: str
    weight: torch.Tensor
    bias: torch.Tensor | None

    def take(self, model: nn.Module) -> None:
        module: Any = model.get_submodule(self.at)
        old, own_bias = module.weight, module.bias
        module._parameters["weight"] = _like(self.weight, old, old.requires_grad)
        if self.bias is not None:
            learns = old.requires_grad if own_bias is None else own_bias.requires_grad
            module._parameters["bias"] = _like(self.bias, old if own_bias is None else own_bias, learns)
        rows, columns = self.weight.shape[:2]
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = rows, columns
        elif module.transposed:
            module.in_channels, module.out_channels = rows, columns * module.groups
        else:
            module.out_channels, module.in_channels = rows, columns * module.groups


Step = Drop | Put | Weights


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A proposal: what it is for the report, its steps, and the layers whose facts it rests on."""

    told: Rewritten
    steps: tuple[Step, ...]
    touches: frozenset[str]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.told.kind, self.told.at, self.told.into

    def take(self, model: nn.Module) -> None:
        """Do it to `model`."""
        for step in self.steps:
            step.take(model)


class Snapshot:
    """What a rewrite can change in a model: children, parameters, attributes. Into weights it never writes."""

    def __init__(self, model: nn.Module) -> None:
        self._held = [
            (module, dict(module.__dict__), dict(module._modules), dict(module._parameters))
            for module in model.modules()
        ]

    def put_back(self) -> None:
        for module, attributes, children, parameters in self._held:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for own, before in ((module._modules, children), (module._parameters, parameters)):
                own.clear()
                own.update(before)  # type: ignore[arg-type]


def disjoint(rewrites: Iterable[Rewrite]) -> list[Rewrite]:
    """Those of `rewrites` that rest on no layer that an earlier one changes: they can be taken in any order."""
    taken: set[str] = set()
    chosen = []
    for each in rewrites:
        if not taken & each.touches:
            taken |= each.touches
            chosen.append(each)
    return chosen


def _like(value: torch.Tensor, old: torch.Tensor, learns: bool) -> nn.Parameter:
    made = value.to(device=old.device, dtype=old.dtype)
    if made.ndim == old.ndim == 4 and old.is_contiguous(memory_format=torch.channels_last) and not old.is_contiguous():
        made = made.contiguous(memory_format=torch.channels_last)
    else:
        made = made.contiguous()
    return nn.Parameter(made, requires_grad=learns)
