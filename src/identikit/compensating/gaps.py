"""The gaps that dropped layers leave: runs of neighbours in one stream, and the layer that stays before each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.watch import Call
from identikit.surgery.slot import Slot, slot_of


@dataclass(frozen=True)
class Gap:
    """Layers that are gone, in the order in which they ran, and the layer whose output the first of them took.

    All are paths of the full model. `before` is None where no layer made what the first one takes.
    """

    gone: tuple[str, ...]
    before: str | None


def gaps_of(anatomy: Anatomy, edits: Iterable[Edit]) -> list[Gap]:
    """The gaps that taking out whole blocks leaves, the first in the model first. The edits' places are present ones.

    Raises RoleError, naming it, for a layer that is no whole block with one stream, called once.
    """
    slots: dict[str, Slot] = {}
    for edit in edits:
        if edit.op != "identity":
            raise _not_made_up(edit.at, f"it is replaced ({edit.op}), not dropped whole")
        slots[edit.at] = stream_of(anatomy, edit.at)
    lines: list[list[str]] = []
    for path in sorted(slots, key=lambda each: slots[each].call.start):
        before = _before(anatomy, slots[path])
        behind = next((line for line in lines if line[-1] == before), None)
        if behind is None:
            lines.append([path])
        else:
            behind.append(path)
    return [Gap(tuple(line), _before(anatomy, slots[line[0]])) for line in lines]


def stream_of(anatomy: Anatomy, path: str) -> Slot:
    """Where the one stream of the block at `path` enters and leaves. Raises RoleError where it has not just one."""
    calls = anatomy.watched.by_path.get(path, [])
    flow = anatomy.verdict(path, prove=False).flow
    if len(calls) != 1 or flow is None or len(flow.streams) != 1:
        found = f"it is called {len(calls)} times" if len(calls) != 1 else "it is no whole block with one stream"
        raise _not_made_up(path, found)
    return slot_of(anatomy, path, {})


def _not_made_up(path: str, why: str) -> RoleError:
    return RoleError(
        f'what dropping "{path}" costs cannot be made up for: {why}. Leave compensate out, or keep the layer.'
    )


def entering(slot: Slot) -> torch.Tensor:
    """The stream as it entered the block in the watched pass."""
    assert slot.enters is not None  # a block's stream enters somewhere
    return dict(slot.call.tensors_in())[slot.enters]


def _before(anatomy: Anatomy, slot: Slot) -> str | None:
    """The layer that made what enters: a sibling where one returned it, else the innermost with layers inside."""
    made = [call for call, _ in anatomy.watched.makers.get(id(entering(slot)), []) if call.end < slot.call.start]
    siblings = [call for call in made if call.parent is slot.call.parent]
    composed = [call for call in made if any(True for _ in call.module.children())]
    found: Call | None = max(siblings or composed, key=lambda call: call.start, default=None)
    return None if found is None else found.path
