"""Branches by cancellation, gates by ones and twos: roles proved inside the modules around a layer.

y is a branch of the stream s where only their sum counts: block(s + d, y - d) equals block(s, y) while
block(s + d, y) does not, everything that y does not reach frozen at its record. s is what enters the block, or what
an earlier layer returned and y was computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.structure import scaled
from identikit.structure.noise import close, noise_for, tensors
from identikit.structure.operations import memory
from identikit.structure.replay import NOT_PROVED, Key, Recording
from identikit.structure.trees import Path, at
from identikit.structure.trial import Trial
from identikit.structure.watch import Call, Location, Watched

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 3e-6}  # relative to the largest value
_DIFFERS = 1e-3
LARGEST = 1_000_000_000  # bytes of weights that are copied for a proof
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)  # of layers that stand for one another
_HIGHEST = 4  # in how many modules, from the nearest outwards, an addition is looked for


def role_within_parents(watched: Watched, call: Call, outputs: Sequence[Path]) -> str | None:
    """ "branch", "gate" or None: looked for in the calls around `call` that work on what it returned at `outputs`.

    Each of several outputs must be a branch of its own stream.
    """
    roles = {_role_of(watched, call, place) for place in outputs}
    role = roles.pop() if len(roles) == 1 else None
    return role if role == "branch" or len(outputs) == 1 else None


def _role_of(watched: Watched, call: Call, place: Path) -> str | None:
    output = at(call.output, place)
    if not output.is_floating_point():
        return None
    workers = _workers(watched, call, output)[:_HIGHEST]
    adders = scaled.adders(watched, call, output)[:_HIGHEST]
    for parent in sorted({*workers, *adders}, key=lambda each: -each.number):  # the nearest first
        if not _small(parent) or _continues_a_sibling(watched, call, parent):
            return None
        try:
            role = _role_within(watched, call, parent, place, works=parent in workers, adds=parent in adders)
        except NOT_PROVED:  # the copy takes another way than the block did
            return None
        if role is not None:
            return role
    return None


def _workers(watched: Watched, call: Call, output: torch.Tensor) -> list[Call]:
    """The calls around `call` in which an operation reads its `output`, the nearest first: there it is added, if ever.

    An operation inside a module without weights (an addition written as a module) counts for the call around that.
    """
    around: list[Call] = []
    parent = call.parent
    while parent is not None:
        around.append(parent)
        parent = parent.parent
    found: set[int] = set()
    for read in watched.readers(output, call):
        caller = read.caller if read.tick > call.end else None
        while caller is not None and caller not in around and not any(True for _ in caller.module.parameters()):
            caller = caller.parent
        if caller is not None and caller in around:
            found.add(caller.number)
    return [each for each in around if each.number in found]


def too_large(watched: Watched, call: Call) -> int | None:
    """The bytes of the nearest module that a proof for `call` would have to copy, where they are too many."""
    workers = (_workers(watched, call, output)[:1] for _, output in call.tensors_out())
    nearest = [parent for found in workers for parent in found]
    return next((size for parent in nearest if (size := _bytes(parent)) > LARGEST), None)


def _small(parent: Call) -> bool:
    return _bytes(parent) <= LARGEST and parent.replayable


def _bytes(parent: Call) -> int:
    return sum(value.numel() * value.element_size() for value in parent.module.parameters())


def _role_within(
    watched: Watched, call: Call, parent: Call, place: Path, *, works: bool, adds: bool
) -> str | None:  # fmt: skip
    recording = Recording(parent)
    key = recording.key_of(call, parent, watched.calls)
    if key not in recording.seen:  # a forward put onto the instance runs other modules than the copy's
        return None
    trial = Trial(recording, key, place)
    if not trial.repeats():
        return None
    streams: list[Location | Key] = [place for place, _ in recording.entries()]
    streams += [each for each in trial.earlier() if not _beside(recording, each[0], key[0])]
    if works and any(_cancels(trial, stream) for stream in streams if trial.held(stream).shape == trial.y.shape):
        return "branch"
    if works and _gates(trial):
        return "gate"
    return "branch" if adds and scaled.is_scaled(trial, streams) else None


def _beside(recording: Recording, one: str, inner: str) -> bool:
    """Whether `one` stands in a container next to a layer of its class that is, or holds, `inner`.

    What it returns is no stream of that other one: layers whose outputs are all collected and summed look the same.
    """
    container, _, _ = one.rpartition(".")
    start = f"{container}." if container else ""
    if not inner.startswith(start):
        return False
    member = start + inner.removeprefix(start).partition(".")[0]
    around = recording.modules.get(container, recording.block)
    return isinstance(around, _CONTAINERS) and type(recording.modules[member]) is type(recording.modules[one])


def _continues_a_sibling(watched: Watched, call: Call, parent: Call) -> bool:
    """Whether `call`, or what holds it inside `parent`, takes the very tensor that a layer beside it returned.

    Then the chain says block where a sum of all their outputs says branch: both readings fit.
    """
    each: Call | None = call
    while each is not None and each is not parent:
        sizes = [value.shape for _, value in each.tensors_out()]
        for value in (value for _, value in each.tensors_in() if value.shape in sizes):
            for before, _ in watched.makers[id(value)]:
                between = range(before.end, each.start)
                written = any(read.mutates and read.tick in between for read in watched.reads[memory(value)])
                if before.end < each.start and not written and _siblings(parent, before, each):
                    return True
        each = each.parent
    return False


def _siblings(parent: Call, one: Call, other: Call) -> bool:
    container, _, _ = one.path.rpartition(".")
    if other.parent is not None and other.parent.path == container != "":  # it runs itself, and collects nothing
        return False
    if type(one.module) is not type(other.module) or other.path.rpartition(".")[0] != container:
        return False
    inside = container.removeprefix(parent.path).removeprefix(".")
    below = container == parent.path or container.startswith(f"{parent.path}." if parent.path else "")
    return below and isinstance(parent.module.get_submodule(inside), _CONTAINERS)


def _cancels(trial: Trial, stream: Location | Key) -> bool:
    """Whether y - d makes up for s + d, which alone would change the output."""
    recording, y = trial.recording, trial.y
    held = trial.held(stream)
    d = noise_for(_larger(held, y), 2.0)
    if not close(trial.run(y - d, stream, held + d), recording.output, _TOLERANCE[recording.dtype]):
        return False
    return not close(trial.run(y, stream, held + d), recording.output, _DIFFERS)


def _gates(trial: Trial) -> bool:
    """Whether y multiplies: with ones in its place some operation gives an earlier tensor, with twos twice that one.

    Only where y is broadcast: the two factors of a product of equals are alike, so neither is the gate.
    """

    def filled(value: float) -> list[torch.Tensor]:
        with _Results() as results:
            trial.run(torch.full_like(trial.y, value))
        return [result for result in results.found if result.shape != trial.y.shape]

    earlier = [value for _, value in trial.recording.entries()]
    earlier += [leaf for each, output in trial.frozen.items() if each != trial.key for leaf in tensors(output)]
    for one, two in zip(filled(1.0), filled(2.0), strict=True):
        if any(_equal(one, value) for value in earlier) and torch.equal(two, 2 * one) and bool(one.any()):
            return True
    return False


class _Results(TorchDispatchMode):
    """Every product that is computed inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::mul", "aten::mul_"):
            self.found.append(result.clone())
        return result


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _larger(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return one if float(one.std()) >= float(other.std()) else other
