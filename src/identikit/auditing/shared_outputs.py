"""Outputs that are the same memory as an input or as each other: who edits one edits the other.

`return x, identity(x)` is the usual one: `nn.Identity` returns the very tensor it was given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from identikit.auditing.tape import Tape, Visit
from identikit.auditing.words import fills, in_place, instead
from identikit.results.finding import Finding
from identikit.structure.operations import memory
from identikit.structure.trees import Path, leaves

LOOKED_FOR = "outputs that alias inputs or each other"
_FIX = "Return a copy, x.clone() or identikit.nn.Identity(copy=True)(x), if the caller may edit it."


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A note where the model hands such outputs out; a mistake where it edits one of them itself."""
    for tape in tapes:
        yield from _handed_out(tape)
        for visit in tape.visits:
            yield from _edited(tape, visit)
            yield from _kept(tape, visit)


def _handed_out(tape: Tape) -> Iterator[Finding]:
    outputs = [(path, value) for path, value in leaves(tape.output) if isinstance(value, torch.Tensor)]
    for number, (path, one) in enumerate(outputs):
        maker = _maker(tape, one)
        for before, other in outputs[:number]:
            if overlap(one, other):
                message = f"{_spoken(before)} and {_spoken(path)} of {tape.root.name} are the same memory{_by(maker)}."
                yield Finding("alias", maker.path, "note", message, _FIX)
                break
        if any(overlap(one, other) for other in tape.given):
            message = f"{_spoken(path)} of {tape.root.name} is the memory of a tensor it was given{_by(maker)}."
            yield Finding("alias", maker.path, "note", message, _FIX)


def _edited(tape: Tape, visit: Visit) -> Iterator[Finding]:
    """A module returns one memory twice, and something outside it computes in place there."""
    for number, one in enumerate(visit.outputs):
        if not any(overlap(one, other) for other in visit.outputs[:number]):
            continue
        later = (step for step in tape.steps[visit.end :] if memory(one) in step.written and not fills(step))
        writer = next(later, None)
        if writer is not None:
            message = (
                f"{visit.name} returns the same memory twice, and {writer.visit.name} writes into it afterwards "
                f"({in_place(writer)}): both change."
            )
            fix = f"Return a copy from {visit.name}: x.clone(), or identikit.nn.Identity(copy=True)(x)."
            yield Finding("alias", visit.path, "mistake", message, fix)


def _kept(tape: Tape, visit: Visit) -> Iterator[Finding]:
    """A module returns the memory it was given, something writes there later, and the model hands it out with others.

    `feats = self.identity(x); x -= x.mean()` is this; so is a dropout in eval mode whose result is edited: a note.
    """
    if isinstance(visit.module, nn.modules.dropout._DropoutNd) or len(tape.root.outputs) < 2:
        return
    told = {number for each in (visit, *visit.around()) for number in _twice(each)}
    for number in (visit.taken & visit.returned & tape.root.returned) - told:
        steps = tape.steps[visit.end :]
        writer = next((step for step in steps if number in step.written and not fills(step)), None)
        during = any(number in step.written for step in tape.steps[visit.start : visit.end])
        if writer is not None and not during:
            message = (
                f"{writer.visit.name} writes in place ({in_place(writer)}) into what {visit.name} returned, which "
                f"{tape.root.name} hands out: the caller gets the changed value."
            )
            fix = f"{instead(writer)} Nothing, if the changed value is meant."
            yield Finding("alias", visit.path, "note", message, fix)


def _twice(visit: Visit) -> list[int]:
    returned = Counter(memory(tensor) for tensor in visit.outputs)
    return [number for number, count in returned.items() if count > 1]


def overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors share at least one value; two halves of one piece of memory share none."""
    if memory(one) != memory(other):
        return False
    if torch.strided not in (one.layout, other.layout) or one.element_size() != other.element_size():
        return True
    marks = torch.zeros(one.untyped_storage().nbytes() // one.element_size(), dtype=torch.bool)
    marks.as_strided(one.shape, one.stride(), one.storage_offset()).fill_(True)
    return bool(marks.as_strided(other.shape, other.stride(), other.storage_offset()).any())


def _maker(tape: Tape, tensor: torch.Tensor) -> Visit:
    """The innermost module that returned the tensor's memory last."""
    found = [visit for visit in tape.visits if memory(tensor) in visit.returned]
    return max(found, key=lambda visit: visit.start, default=tape.root)


def _by(visit: Visit) -> str:
    return f" (from {visit.name})" if visit.path else ""


def _spoken(path: Path) -> str:
    """Which output: `output 0`, `output "hidden_states[3]"`."""
    if not path:
        return "the output"
    first, *rest = path
    if isinstance(first, int) and not rest:
        return f"output {first}"
    return f'output "{first}{"".join(f"[{key}]" for key in rest)}"'
