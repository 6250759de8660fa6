"""Which hidden states of student and teacher belong together: what enters each layer that both have, and what leaves
the last one of a stack. Told by the plan that the student carries, whatever the layers are called.

Source of learning from hidden states: Sun et al. 2019, "Patient knowledge distillation" (arXiv:1908.09355).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from identikit.batches import Batch
from identikit.errors import PlanError
from identikit.families.anatomy import Anatomy
from identikit.places import natural_key
from identikit.replacing.layout import LAST, features_axis, guessed_axis
from identikit.replacing.maps import rows
from identikit.replacing.padding import counted
from identikit.structure.fingerprints import structure_of
from identikit.structure.members import members
from identikit.structure.trees import Path, shape_of
from identikit.structure.watch import Call, Location
from identikit.surgery.carried import Carried, carried, first_paths
from identikit.surgery.choose import first_fingerprint

ALONE = "outputs alone were learned from: "


@dataclass(frozen=True)
class Tap:
    """A hidden state: what enters the layer at `path` by an argument, or leaves it as a part of its output."""

    path: str
    place: Location | Path

    @property
    def enters(self) -> bool:
        return isinstance(self.place, Location)

    def __str__(self) -> str:
        return f"{'into' if self.enters else 'out of'} {self.path}"


@dataclass(frozen=True)
class Pair:
    """Two hidden states that belong together. `axis`: where their features lie; `taught`: the teacher's, as watched."""

    student: Tap
    teacher: Tap
    axis: int
    taught: torch.Tensor

    def rows(self, value: torch.Tensor, anatomy: Anatomy, batch: Batch) -> torch.Tensor:
        """`value` at the positions of `batch` that are no padding, [positions, features]; `anatomy`: the teacher's."""
        mask = counted(anatomy.watched, self.taught, batch, value) if self.axis == LAST else None
        flat = rows(value, self.axis)
        return flat if mask is None else flat[mask.reshape(-1).to(flat.device)]


def pairs_of(student: Anatomy, teacher: Anatomy) -> tuple[tuple[Pair, ...], str]:
    """The pairs, and a note where there are none; both models were watched on the same batch.

    What is equal at the start (the embedding, behind which nothing is gone) is left out: it teaches nothing.
    """
    mapped, why = _mapping(student, teacher)
    found: dict[tuple[Tap, Tap], Pair] = {}
    for own, taught in [*_entering(student, teacher, mapped), *_leaving(student, teacher, mapped)]:
        one, other = _seen(student, own), _seen(teacher, taught)
        if shape_of(one) is None or shape_of(one) != shape_of(other) or one.ndim < 2 or _equal(one, other):
            continue
        axis = features_axis(teacher.watched, teacher.watched.by_path[taught.path][0], other)
        found[own, taught] = Pair(own, taught, guessed_axis(other.ndim) if axis is None else axis, other)
    if not found and not why:
        why = f"no hidden state of this {type(student.model).__name__} could be told apart from the rest."
    return tuple(found.values()), "" if found else ALONE + why


def _mapping(student: Anatomy, teacher: Anatomy) -> tuple[dict[str, str], str]:
    """From the student's paths to the teacher's, of the layers that both have; or why that is not known."""
    own, whole = student.model, teacher.model
    history = carried(own)
    name = type(own).__name__
    if history is None and structure_of(own) != structure_of(whole):
        return {}, f"this {name} carries no plan that says which of the teacher's layers it has (--plan FILE tells)."
    if history is not None and first_fingerprint(own) != first_fingerprint(whole):
        return {}, f"the plan that this {name} carries was made for another model than this teacher."
    there = dict(zip(first_paths(whole, teacher.paths), teacher.paths, strict=True))
    firsts = dict(zip(student.paths, first_paths(own, student.paths), strict=True))
    _require_fit(name, history, set(firsts.values()), set(there))
    mapped = {path: there[first] for path, first in firsts.items() if first in there}
    alike = {
        path: other
        for path, other in mapped.items()
        if type(own.get_submodule(path)).__name__ == type(whole.get_submodule(other)).__name__
    }
    return alike, ""


def _require_fit(name: str, history: Carried | None, has: set[str], teacher: set[str]) -> None:
    """Raise PlanError where the stacks that the plan shortens hold other layers than it says."""
    for stack, gone in history.shortened.items() if history is not None else ():
        start = f"{stack}." if stack else ""
        left, said = ({path for path in paths if _member_of(start, path)} for paths in (has, teacher))
        said -= {f"{start}{each}" for each in gone}
        if left != said:
            wrong = sorted(left ^ said, key=natural_key)[0]
            where = "lacks" if wrong in said else "has"
            raise PlanError(
                f'the plan does not fit this {name} and this teacher: by it the student {where} "{wrong}". '
                "Give the plan that the student was made by, and the teacher that it was made from."
            )


def _member_of(start: str, path: str) -> bool:
    return path.startswith(start) and path[len(start) :].isdecimal()


def _entering(student: Anatomy, teacher: Anatomy, mapped: dict[str, str]) -> Iterator[tuple[Tap, Tap]]:
    for path in student.blocks():
        other = mapped.get(path)
        if other is None or _once(student, path) is None or _once(teacher, other) is None:
            continue
        flow = student.verdict(path, prove=False).flow
        for place in flow.streams.values() if flow is not None else ():
            yield Tap(path, place), Tap(other, place)


def _leaving(student: Anatomy, teacher: Anatomy, mapped: dict[str, str]) -> Iterator[tuple[Tap, Tap]]:
    """What leaves the last layer that runs of each container with blocks, whichever layer that is in either model."""
    own = {other: path for path, other in mapped.items()} | {"": ""}
    for other in dict.fromkeys(path.rpartition(".")[0] for path in teacher.blocks()):
        stack = own.get(other)
        if stack is None:
            continue
        ends = [_last(anatomy, at_) for anatomy, at_ in ((student, stack), (teacher, other))]
        if ends[0] is None or ends[1] is None:
            continue
        for leaf in _streams_out(student, ends[0]):
            yield Tap(ends[0].path, leaf), Tap(ends[1].path, leaf)


def _last(anatomy: Anatomy, stack: str) -> Call | None:
    """The last call among the members of a container."""
    inside = members(anatomy.model.get_submodule(stack))
    calls = [_once(anatomy, f"{stack}.{name}" if stack else name) for name in inside]
    return max((call for call in calls if call is not None), key=lambda call: call.end, default=None)


def _streams_out(anatomy: Anatomy, call: Call) -> list[Path]:
    """Which parts of a layer's output go on: its streams where it is a block, else its first floating tensor."""
    flow = anatomy.verdict(call.path, prove=False).flow
    floating = [path for path, value in call.tensors_out() if value.is_floating_point()]
    return [path for path in (flow.streams if flow is not None else ()) if path in floating] or floating[:1]


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other.to(one.device))


def _once(anatomy: Anatomy, path: str) -> Call | None:
    """The call of a layer that runs once in a pass."""
    calls = anatomy.watched.by_path.get(path, [])
    return calls[0] if len(calls) == 1 else None


def _seen(anatomy: Anatomy, tap: Tap) -> torch.Tensor:
    """The hidden state in the watched pass; an empty one where this layer has none there."""
    call = anatomy.watched.by_path[tap.path][0]
    if isinstance(tap.place, Location):
        found = dict(call.tensors_in()).get(tap.place)
    else:
        found = dict(call.tensors_out()).get(tap.place)
    return torch.empty(0) if found is None or not found.is_floating_point() else found
