"""A model that writes into the tensors it is given: calling it changes its caller's data.

`x += residual` after layers that return their input (identities, dropouts in eval mode) is the usual one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from identikit.auditing.tape import Step, Tape
from identikit.auditing.words import fills, in_place, instead
from identikit.results.finding import Finding
from identikit.structure.operations import memory

LOOKED_FOR = "in-place edits of the caller's tensors"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """Each module that does it, once; a note where it only fills the tensor, which may have been given for that.

    What an object holds (a cache) belongs to the object: that a forward writes there is what it is given for.
    """
    for tape in tapes:
        given = {memory(tensor) for tensor in tape.handed} - tape.own
        for step in tape.steps:
            if step.written & given:
                yield _filled(tape, step) if fills(step) else _edited(tape, step)


def _edited(tape: Tape, step: Step) -> Finding:
    message = f"{_says(tape, step)}: the caller's data is changed."
    return Finding("edited input", step.visit.path, "mistake", message, instead(step))


def _filled(tape: Tape, step: Step) -> Finding:
    message = f"{_says(tape, step)}: the caller's data is replaced."
    fix = f"{instead(step)} Nothing, if it is given to be written."
    return Finding("edited input", step.visit.path, "note", message, fix)


def _says(tape: Tape, step: Step) -> str:
    whose = "it" if step.visit is tape.root else tape.root.name
    return f"{step.visit.name} writes in place ({in_place(step)}) into a tensor that {whose} was given"
