"""Branches that are scaled or rearranged on their way into the stream: LayerScale, a gate of the condition, windows.

What a layer returns goes into an addition as p = A y. y is a branch of the stream s where p is linear in y and zero
with it, each value of p comes from one value of y (a projection or a mean would mix them), A does not depend on s (the
halves of a gated unit are alike, so there identikit asks), and only s + p counts: block(s + A e, y - e) equals
block(s, y) while block(s + A e, y) does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.structure.noise import close, noise_for
from identikit.structure.operations import memory, term
from identikit.structure.replay import Key
from identikit.structure.trees import leaves
from identikit.structure.trial import Trial
from identikit.structure.watch import Call, Location, Watched

_LINEAR = {torch.float64: 1e-9, torch.float32: 1e-4}  # relative to the largest value
_CANCELS = {torch.float64: 1e-6, torch.float32: 3e-5}
_DIFFERS = 1e-3
_PADDED = 16  # how many times its own size a picture may be padded to, before it is cut into windows

Terms = list[torch.Tensor]


def adders(watched: Watched, call: Call, output: torch.Tensor) -> list[Call]:
    """The calls around `call` that themselves add something computed from its `output`, the nearest first."""
    around: list[Call] = []
    parent = call.parent
    while parent is not None:
        around.append(parent)
        parent = parent.parent
    if not around:
        return []
    reached = {memory(output)}
    found: set[int] = set()
    for number in range(watched.during(call).stop, watched.during(around[-1]).stop):
        inputs, result = watched.operations[number]
        hit = [value for value in inputs if memory(value) in reached]
        if hit:
            reached |= {memory(value) for _, value in leaves(result) if isinstance(value, torch.Tensor)}
            tick = watched.ticks[number]
            reads = (read for value in hit for read in watched.reads[memory(value)])
            found |= {_at_work(read.caller) for read in reads if read.tick == tick and read.adds}
    return [each for each in around if each.number in found]


def _at_work(caller: Call | None) -> int:
    """The number of the call that an operation belongs to, modules without weights looked through; -1: of none."""
    while caller is not None and not any(True for _ in caller.module.parameters()):
        caller = caller.parent
    return -1 if caller is None else caller.number


def is_scaled(trial: Trial, streams: Iterable[Location | Key]) -> bool:
    """Whether y is a branch of one of `streams`, scaled or rearranged before the addition."""
    tolerance = _LINEAR[trial.recording.dtype]
    one, other = noise_for(trial.y, 1.0), noise_for(trial.y, 1.0, seed=1)
    zero = _terms(trial, torch.zeros_like(trial.y))
    answers = [_terms(trial, value) for value in (one, other, one + other)]
    if any(len(each) != len(zero) for each in answers):
        return False
    for at_rest, first, second, both in zip(zero, *answers, strict=True):
        linear = not bool(at_rest.any()) and close(both, first + second, tolerance)
        if linear and _one_to_one((one, other), (first, second), tolerance):
            fitting = (stream for stream in streams if trial.held(stream).numel() == first.numel())
            return any(_only_the_sum_counts(trial, stream, one, first) for stream in fitting)
    return False


def _one_to_one(given: tuple[torch.Tensor, torch.Tensor], found: tuple[torch.Tensor, torch.Tensor], tol: float) -> bool:
    """Whether each value of the answer is a multiple of one value of the question, and none is answered twice.

    Two questions give every value a direction in the plane, which a factor does not change: the directions of the
    answers must be among those of the questions, in any order. A sum of several values has another direction. Values
    without an answer are padding that was cut off.
    """
    asked, told = (torch.atan2(a.flatten(), b.flatten()).remainder(torch.pi) for a, b in (given, found))
    if not bool((found[0].isfinite() & (found[0] != 0)).all()):
        return False
    asked, told = asked.sort().values, told.sort().values
    above = torch.searchsorted(asked, told).clamp_max(len(asked) - 1)
    below = (above - 1).clamp_min(0)
    nearer = (told - asked[below]).abs() < (told - asked[above]).abs()
    nearest = torch.where(nearer, below, above)
    return float((told - asked[nearest]).abs().max()) <= 10 * tol and len(nearest.unique()) == len(nearest)


def _only_the_sum_counts(trial: Trial, stream: Location | Key, e: torch.Tensor, p: torch.Tensor) -> bool:
    """Whether y - e makes up for s + A e, and A is the same whatever the stream holds; `p` is A e."""
    recording, entered = trial.recording, trial.held(stream)
    answer = p.reshape(entered.shape)
    size = 2.0 * float(entered.std()) / max(float(answer.std()), 1e-30)
    moved, e = entered + size * answer, size * e
    if not close(trial.run(trial.y - e, stream, moved), recording.output, _CANCELS[recording.dtype]):
        return False
    if close(trial.run(trial.y, stream, moved), recording.output, _DIFFERS):
        return False
    again = _terms(trial, e, stream, moved)  # what computes the scale runs on the moved stream
    return any(each.shape == p.shape and close(each, size * p, _LINEAR[recording.dtype]) for each in again)


def _terms(trial: Trial, value: torch.Tensor, stream: Location | Key | None = None, moved: Any = None) -> Terms:
    """Every term of an addition that the block makes with `value` in the place of y; with a moved stream, all live."""
    with _Terms(value) as terms:
        trial.run(value, stream, moved, live=stream is not None)
    found: Terms = terms.found
    return found


class _Terms(TorchDispatchMode):
    """Every term of every addition that is computed inside, of at most as many values as `y` and not far fewer."""

    def __init__(self, y: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values = range(max(1, y.numel() // _PADDED), y.numel() + 1)
        self.found: Terms = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found += [each.clone() for each in term(func, args, kwargs or {}) if each.numel() in self.values]
        return func(*args, **(kwargs or {}))
