"""A model with layers out of action, by the plainest means: the layer's own input in its output's place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from .stacks import Call, Path, Stack, bound, override, streams_of, tensors


@contextmanager
def skipping(model: nn.Module, stack: Stack, places: list[str]) -> Iterator[None]:
    """The blocks at `places` run and are ignored: what they hand on is what they took, all else is as they made it."""
    with ExitStack() as undo:
        for place in places:
            module = model.get_submodule(place)
            undo.callback(override(module, _handing_on(place, module.forward, stack.streams)))
        yield


@contextmanager
def replaced(model: nn.Module, place: str, value: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """The layer at `place` runs, and what `value` makes of its first tensor stands in its place."""
    module = model.get_submodule(place)
    forward = module.forward

    def given(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        first = next(where for where, _ in tensors(output))
        return _with(output, first, value(_at(output, first)))

    undo = override(module, given)
    try:
        yield
    finally:
        undo()


def mean_of(model: nn.Module, place: str, run: Callable[[], Any]) -> torch.Tensor:
    """The mean [features] of the layer's first tensor over all but its last dimension, in one pass."""
    found: list[torch.Tensor] = []

    def noted(output: torch.Tensor) -> torch.Tensor:
        found.append(output.double().flatten(0, -2).mean(0).to(output.dtype))
        return output

    with replaced(model, place, noted):
        run()
    return found[0]


def _handing_on(path: str, forward: Any, known: dict[Path, Path]) -> Any:
    def handing_on(*args: Any, **kwargs: Any) -> Any:
        taken = {place: value.clone() for place, value in tensors(bound(forward, args, kwargs))}
        with torch.random.fork_rng(devices=[]):
            output = forward(*args, **kwargs)
        call = Call(path, taken, dict(tensors(output)))
        for out, into in streams_of(call, known).items():
            output = _with(output, out, taken[into])
        return output

    return handing_on


def _at(tree: Any, place: Path) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _with(tree: Any, place: Path, value: torch.Tensor) -> Any:
    """`tree` with `value` at `place`."""
    if not place:
        return value
    inner = _with(tree[place[0]], place[1:], value)
    if isinstance(tree, dict):
        changed = copy.copy(tree)
        changed[place[0]] = inner
        return changed
    items = [inner if key == place[0] else each for key, each in enumerate(tree)]
    return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
