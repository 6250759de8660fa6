"""A model that writes into the tensors it is given: calling it changes its caller's data.

`x += residual` after layers that return their input (identities, dropouts in eval mode) is the usual one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from identikit.auditing.tape import Tape
from identikit.auditing.words import in_place, instead
from identikit.results.finding import Finding
from identikit.structure.operations import memory

LOOKED_FOR = "in-place edits of the caller's tensors"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """Each module that does it, once."""
    for tape in tapes:
        given = {memory(tensor) for tensor in tape.given}
        for step in tape.steps:
            if step.written & given:
                whose = "it" if step.visit is tape.root else tape.root.name
                message = (
                    f"{step.visit.name} writes in place ({in_place(step)}) into a tensor that {whose} was given: the "
                    "caller's data is changed."
                )
                yield Finding("edited input", step.visit.path, "mistake", message, instead(step))
