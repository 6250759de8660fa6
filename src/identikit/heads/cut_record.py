"""What a cut model says of itself: how wide its features are, what went, where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.errors import SaveError
from identikit.places import inside
from identikit.structure.trees import leaves

RECORD = "identikit_features"
"""The attribute under which a cut model holds its record."""


@dataclass(frozen=True)
class Features:
    """What a cut model gives; it is found as `model.identikit_features`.

    `width` is the number of features; None where no dimension of the output is known to hold them. `shape` is the
    output's for one example (its first dimension left out). `at` is the layer that the model ends at, None where only
    its head went. `removed` are the paths of the layers with weights that are gone, `parameters` counts the weights.
    """

    width: int | None
    shape: tuple[int, ...]
    at: str | None
    removed: tuple[str, ...]
    parameters: int


@contextmanager
def told_of_a_cut(model: nn.Module) -> Iterator[None]:
    """Say so where a cut model cannot be saved inside: the library's own reason would name a weight that is missing."""
    try:
        yield
    except SaveError as cause:
        if RECORD not in vars(model):
            raise
        raise SaveError(
            f"ik.features cut this {type(model).__name__}, and no checkpoint or plan of its library says so. Save the "
            'weights: torch.save(model.state_dict(), "cut.pt"). They load into a model that is cut in the same way.'
        ) from cause


class Before:
    """The layers and weights of a model before it is cut."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = {path: module for path, module in model.named_modules() if path}
        self._weighty = {path for path, module in self._modules.items() if any(True for _ in module.parameters())}
        self._weights = {id(weight): weight for weight in model.parameters()}

    def record(self, output: Any, at: str | None, axis: int | None = None) -> Features:
        """The record of the model now that it gives `output`; `axis`: where its features lie, if that is known."""
        here = {id(module) for module in self._model.modules()}
        gone = [path for path, module in self._modules.items() if id(module) not in here and path in self._weighty]
        kept = {id(weight) for weight in self._model.parameters()}
        value = next(leaf for _, leaf in leaves(output) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point())
        return Features(
            width=_width(value, axis),
            shape=tuple(value.shape[1:]),
            at=at,
            removed=tuple(path for path in gone if not any(inside(path, outer) for outer in gone)),
            parameters=sum(weight.numel() for one, weight in self._weights.items() if one not in kept),
        )


def _width(value: torch.Tensor, axis: int | None) -> int | None:
    """The size of the dimension that holds the features: the only one, or that at `axis`, where it is known."""
    if sum(size > 1 for size in value.shape[1:]) < 2:
        return max(value.shape[1:], default=None)
    return None if axis is None else value.shape[axis]
