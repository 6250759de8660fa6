"""Is the cut model's output what it should be? Noise sent through what is left, and what the full model computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.heads.ending import EndBefore, ended_with
from identikit.heads.head import NOT_RUN, vector
from identikit.structure.compare import difference
from identikit.structure.noise import noise_for
from identikit.structure.override import Forward, overriding
from identikit.structure.trees import Path, at, leaves, rebuilt
from identikit.structure.watch import Call, Location
from identikit.surgery.forwards import Taken
from identikit.surgery.replacements import Absent

Pooling = Callable[[torch.Tensor], torch.Tensor]
_LOUD = 100.0  # a share of the features' own size: no clamp, activation or norm lets that through unchanged


def recorded_input(anatomy: Anatomy, call: Call, place: Location) -> torch.Tensor:
    """What a layer of the full model takes at `place`, before anything behind it writes into that."""
    found: list[torch.Tensor] = []

    def wrap(_: str, module: nn.Module, forward: Forward) -> Forward:
        def noted(*args: Any, **kwargs: Any) -> Any:
            found.append(Taken(place, copy=True).of(args, kwargs))
            return forward(*args, **kwargs)

        return noted

    with overriding({call.path: call.module}, wrap):
        anatomy.run()
    return found[0]


def recorded_output(anatomy: Anatomy, call: Call) -> Any:
    """What a layer of the full model returns to whoever called it, before anything writes into that."""
    found: list[Any] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        found.append(rebuilt(output, lambda _, leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf))

    def wrap(_: str, module: nn.Module, forward: Forward) -> Forward:
        def noted(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            note(module, args, output)
            return output

        return noted

    if call.module._forward_hooks:  # they have the last word; elsewhere none is put on, for torch's fast path minds it
        handle = call.module.register_forward_hook(note)
        try:
            anatomy.run()
        finally:
            handle.remove()
    else:
        with overriding({call.path: call.module}, wrap):
            anatomy.run()
    return found[0]


def proved(anatomy: Anatomy, stand_in: nn.Module, truth: torch.Tensor, way: Path, full: Any) -> torch.Tensor | None:
    """The features, where the model (cut already) returns what its head took (`truth`), pooled or not; else None.

    First loud noise stands in the features' place: all that is left behind them must hand it on untouched, or pool it.
    Then the model runs as it is, and its output must be the same of `truth`. The rest of the output must be that of
    the full model.
    """
    loud = noise_for(truth, _LOUD)
    try:
        with overriding({"": stand_in}, _giving(loud)):
            output = at(anatomy.run(), way)
        pooling = pooling_of(loud, output)
        again = anatomy.run()
        features = at(again, way)
    except NOT_RUN:
        return None
    if pooling is None or not vector(features):
        return None
    exact = truth.device.type == "cpu" and pooling.exact
    same = difference(features, pooling(truth).reshape(features.shape).to(features.dtype)) <= (0 if exact else 1)
    return features if same and _rest_is_equal(again, full, way) else None


class _Pooled:
    """What becomes of what the head took: `exact` where no arithmetic is done."""

    def __init__(self, function: Pooling, *, exact: bool) -> None:
        self.function = function
        self.exact = exact

    def __call__(self, value: torch.Tensor) -> torch.Tensor:
        return self.function(value)


def pooling_of(taken: torch.Tensor, output: Any) -> _Pooled | None:
    """How `output` [examples, features] comes of `taken`: the same, one place of each example, the mean or the largest.

    None where it comes in no such way.
    """
    if not isinstance(output, torch.Tensor) or not vector(output) or output.shape[0] != taken.shape[0]:
        return None
    if output.numel() == taken.numel():
        same = torch.equal(output.reshape(taken.shape).to(taken.dtype), taken)
        return _Pooled(lambda value: value, exact=True) if same else None
    flat = output.reshape(len(output), -1).to(taken.dtype)
    for dim in [place for place in (taken.ndim - 1, 1) if taken.shape[place] == flat.shape[1]]:
        found = _over_places(taken, flat, dim)
        if found is not None:
            return found
    return None


def _over_places(taken: torch.Tensor, flat: torch.Tensor, dim: int) -> _Pooled | None:
    def rows(value: torch.Tensor) -> torch.Tensor:  # [examples, places, features]
        return value.movedim(dim, -1).flatten(1, -2)

    equal = (rows(taken) == flat[:, None]).all(-1)
    if bool(equal.any(1).all()):
        chosen = equal.int().argmax(1)
        return _Pooled(lambda value: rows(value)[torch.arange(len(value), device=value.device), chosen], exact=True)
    if difference(flat, rows(taken).mean(1)) <= 1:
        return _Pooled(lambda value: rows(value).mean(1), exact=False)
    return _Pooled(lambda value: rows(value).amax(1), exact=True) if torch.equal(flat, rows(taken).amax(1)) else None


def _giving(value: torch.Tensor) -> Callable[[str, nn.Module, Forward], Forward]:
    """Overrides a stand-in: it gives `value`, in the way that it gives what it takes."""

    def make(_: str, module: nn.Module, forward: Forward) -> Forward:
        def give(*args: Any, **kwargs: Any) -> Any:
            if isinstance(module, Absent) and isinstance(module._forward, EndBefore):
                raise ended_with(module._forward.message, value.clone())
            return value.clone()

        return give

    return make


def _rest_is_equal(output: Any, full: Any, way: Path) -> bool:
    """Whether all tensors beside the features are those of the full model's output."""
    here, there = _beside(output, way), _beside(full, way)
    return list(here) == list(there) and all(difference(value, there[path]) <= 1 for path, value in here.items())


def _beside(output: Any, way: Path) -> dict[Path, torch.Tensor]:
    tensors = {path: leaf for path, leaf in leaves(output) if isinstance(leaf, torch.Tensor) and leaf.numel()}
    return {path: leaf for path, leaf in tensors.items() if path != way}
