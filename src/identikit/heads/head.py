"""Where a classifier's head begins: proposals from the watched pass, each still to be proved.

A head is what turns one vector of features per example into scores: Linear layers, 1x1 convolutions, and the dropouts,
activations and norms between them, after the last pooling or flatten. Shapes and calls say so; no name is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.places import inside
from identikit.structure.operations import memory
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, leaves
from identikit.structure.watch import Call, Location, Watched

NOT_RUN = (IndexError, KeyError, AttributeError, TypeError, ValueError, RuntimeError, AssertionError)
_LOGITS = ("logits",)
_WIDER = 3  # places that a layer is tried on, where the example showed it one


@dataclass(frozen=True)
class Head:
    """The calls of a head's layers, in order. What the first of them takes are the features, pooled before or after."""

    calls: tuple[Call, ...]

    @property
    def first(self) -> Call:
        return self.calls[0]


def scores_in(output: object) -> tuple[Path, torch.Tensor] | None:
    """The scores in a model's output and the way to them; None where it is not known which tensor they are."""
    tensors = [(path, leaf) for path, leaf in leaves(output) if isinstance(leaf, torch.Tensor)]
    floating = [(path, leaf) for path, leaf in tensors if leaf.is_floating_point()]
    found = [each for each in floating if each[0] == _LOGITS] or floating
    return found[0] if len(found) == 1 else None


def taken(call: Call) -> tuple[Location, torch.Tensor] | None:
    """The first floating tensor that a call takes, and where."""
    return next(((place, value) for place, value in call.tensors_in() if value.is_floating_point()), None)


def given(call: Call) -> torch.Tensor | None:
    """The first floating tensor that a call returns."""
    return next((value for _, value in call.tensors_out() if value.is_floating_point()), None)


def leaves_on_the_way(anatomy: Anatomy, scores: torch.Tensor) -> list[Call]:
    """The calls that ran no other module, took features and had a part in the scores; in order."""
    watched = anatomy.watched
    needed, parents = _needed(watched, scores), {id(call.parent) for call in watched.calls}
    calls = [call for call in watched.calls if id(call) not in parents and taken(call) is not None]
    return [call for call in calls if any(memory(value) in needed for _, value in call.tensors_out())]


def heads(anatomy: Anatomy, scores: torch.Tensor) -> Iterator[Head]:
    """Every proposal, the one that takes most first."""
    way, body = leaves_on_the_way(anatomy, scores), anatomy.family.body(anatomy.model)
    outside = [call for call in way if not body or not (call.path == body or inside(call.path, body))]
    after = _vectors(anatomy, outside or way)
    if any(linear(call.module) for call in after):
        before = [call for call in way if call.start < after[0].start]
        starts = range(len(after)) if any(_mixes(call) for call in before) else _last_only(after)
        for start in starts:
            if any(linear(call.module) for call in after[start:]):
                yield Head(tuple(after[start:]))
    else:
        yield from _pooled_later(outside or way)


def linear(module: nn.Module) -> bool:
    """Whether a module maps features at each place for itself: its largest weight is a matrix, or a 1x1 kernel."""
    weights = [weight for weight in module.parameters() if weight.ndim > 1]
    return bool(weights) and all(weight.shape[2:].numel() == 1 for weight in weights)


def reads_weights_elsewhere(anatomy: Anatomy, head: Head, first: Call) -> bool:
    """Whether matrices of weights are read after the head began, but not by its layers: then there is more to it."""
    for weight in anatomy.model.parameters():
        for read in anatomy.watched.reads.get(memory(weight), ()) if weight.ndim > 1 else ():
            if read.tick > first.start and not any(call.start < read.tick < call.end for call in head.calls):
                return True
    return False


def has_a_second_head(anatomy: Anatomy, scores: torch.Tensor, first: Call) -> bool:
    """Whether a layer that ran before `first` had a part in the scores and none in what `first` takes."""
    found = taken(first)
    if found is None:
        return False
    needed = _needed(anatomy.watched, found[1])
    before = (call for call in leaves_on_the_way(anatomy, scores) if call.end < first.start)
    return any(not any(memory(value) in needed for _, value in call.tensors_out()) for call in before)


def _vectors(anatomy: Anatomy, calls: list[Call]) -> list[Call]:
    """The last calls in a row that turn one vector per example into another: all that is after pooling and flatten."""
    found: list[Call] = []
    for call in reversed(calls):
        place, value = taken(call), given(call)
        if place is None or value is None or not (vector(place[1]) and vector(value)):
            break
        joined = not found or (following := taken(found[0])) is None or following[1].shape == value.shape
        wide_kernel = any(weight.shape[2:].numel() > 1 for weight in call.module.parameters())
        if value.ndim != place[1].ndim or not joined or wide_kernel or _pools(anatomy, call, place[1]):
            break
        found.insert(0, call)
    return found


def _pooled_later(calls: list[Call]) -> Iterator[Head]:
    """A head that works at every place, before the pooling: the last Linear or 1x1 convolution, and what follows it."""
    last = next((place for place in reversed(range(len(calls))) if _has_weights(calls[place].module)), None)
    if last is None or not linear(calls[last].module):
        return
    after: list[Call] = []
    for call in calls[last + 1 :]:
        place, value, before = taken(call), given(call), given(calls[last])
        if place is None or value is None or before is None or not place[1].shape == value.shape == before.shape:
            break
        after.append(call)
    dropout = [calls[last - 1]] if last and _changes_nothing(calls[last - 1]) else []
    yield Head((*dropout, calls[last], *after))
    if after:
        yield Head((calls[last],))


def _last_only(after: list[Call]) -> list[int]:
    """Nothing would stay but the input: then the last Linear layer goes, and a dropout in front of it."""
    last = max(place for place, call in enumerate(after) if linear(call.module))
    return [last - 1, last] if last and _changes_nothing(after[last - 1]) else [last]


def _needed(watched: Watched, scores: torch.Tensor) -> set[int]:
    """The memory of everything that the scores were computed from."""
    needed = {memory(scores)}
    for inputs, result in reversed(watched.operations):
        if any(memory(value) in needed for _, value in leaves(result) if isinstance(value, torch.Tensor)):
            needed |= {memory(value) for value in inputs}
    return needed


def vector(value: torch.Tensor) -> bool:
    """Whether a tensor holds one vector for each example: of its dimensions after the first, one is not 1."""
    return value.ndim > 1 and value.numel() > 0 and value.numel() == value.shape[0] * max(value.shape[1:])


def _pools(anatomy: Anatomy, call: Call, value: torch.Tensor) -> bool:
    """Whether a layer without weights pools, though the example leaves it nothing to pool (a 1x1 picture)."""
    if value.ndim < 3 or _has_weights(call.module):
        return False
    wide = value.expand(value.shape[0], *(size if size > 1 else _WIDER for size in value.shape[1:])).clone()
    try:
        with traceless(anatomy.model):
            output = call.module(wide)
    except NOT_RUN:
        return True
    return not isinstance(output, torch.Tensor) or output.shape != wide.shape


def _mixes(call: Call) -> bool:
    """Whether a layer computes features from features: an embedding looks them up, a norm scales them."""
    return any(weight.ndim > 1 for weight in call.module.parameters())


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _changes_nothing(call: Call) -> bool:
    """Whether a call without weights returned what it took, as a dropout does in eval mode."""
    place, value = taken(call), given(call)
    if place is None or value is None or _has_weights(call.module) or place[1].shape != value.shape:
        return False
    return place[1] is value or torch.equal(place[1], value)
