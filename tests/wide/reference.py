"""A model with layers out of action, by the plainest means: the layer's own input in its output's place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

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
def replaced(
    model: nn.Module, place: str, value: Callable[[torch.Tensor], torch.Tensor], *, every: bool = False
) -> Iterator[None]:
    """The layer at `place` runs, and what `value` makes of its first tensor stands in its place.

    `every`: of the others with as many features too. A branch may add to two streams (Pegasus-X: tokens and global
    tokens); what is handed on from its inputs stays.
    """
    module = model.get_submodule(place)
    forward = module.forward

    def given(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        first, taken = next(value for _, value in tensors(output)), [value for _, value in tensors((args, kwargs))]
        for where, each in list(tensors(output)):
            adds = every and each.shape[-1:] == first.shape[-1:] and not any(each is t for t in taken)
            if each is first or (adds and each.is_floating_point()):
                output = _with(output, where, value(each))
        return output

    undo = override(module, given)
    try:
        yield
    finally:
        undo()


def mean_of(model: nn.Module, place: str, run: Callable[[], Any]) -> torch.Tensor:
    """The mean of the layer's first tensor over all but its features, in one pass; it broadcasts to the tensor.

    A convolution puts features behind the examples, a matrix at the end; what follows may have exchanged them.
    """
    found: list[torch.Tensor] = []
    last: list[tuple[bool, int]] = []  # of what mixed features: was it a convolution, how many came out

    def mixed(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            conv = isinstance(module, _ConvNd)
            last.append((conv, output.shape[1 if conv else -1]))

    def noted(output: torch.Tensor) -> torch.Tensor:
        if model.get_submodule(place) in weighty:
            mixed(model.get_submodule(place), None, output)
        features = _features(output, *last[-1])
        others = [each for each in range(output.ndim) if each != features]
        found.append(output.double().mean(others, keepdim=True).to(output.dtype))
        return output

    weighty = [each for each in model.modules() if any(p.ndim > 1 for p in each.parameters(recurse=False))]
    hooks = [module.register_forward_hook(mixed) for module in weighty]
    try:
        with replaced(model, place, noted):
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return found[0]


def _features(output: torch.Tensor, conv: bool, width: int) -> int:
    """The dimension of `width` features: the second or the last; of two, the one that lies in memory as it was made."""
    first, last = 1, output.ndim - 1
    fitting = [each for each in (first, last) if output.shape[each] == width]
    if len(fitting) == 1:
        return fitting[0]
    spread = output.stride(first) > output.stride(last)
    return (first if spread == conv else last) if fitting else (first if output.ndim > 3 else last)


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
