"""A branch that writes into what it was given, which the skip reads again: the skip no longer carries x.

`x + branch(x)` where the branch begins with `nn.ReLU(inplace=True)` adds relu(x), without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from identikit.auditing.tape import Step, Tape, Visit
from identikit.auditing.words import fills, in_place, instead
from identikit.results.finding import Finding
from identikit.structure.operations import adds

LOOKED_FOR = "in-place operations on a skip"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A mistake where it is proved, a note where the same operations may be meant: values cleaned on purpose."""
    for tape in tapes:
        for visit in tape.visits:
            yield from _behind_the_back(tape, visit)
            yield from _before_the_skip(tape, visit)


def _behind_the_back(tape: Tape, visit: Visit) -> Iterator[Finding]:
    """Proved: the call returns another tensor, so who reads its input again does not know that it changed."""
    if not visit.outputs:  # a module that returns nothing works in place by contract
        return
    for number in visit.taken - visit.returned - tape.own:
        writer = _writer(tape, visit, number)
        again = next((step for step in tape.readers(number) if step.number >= visit.end), None)
        if writer is not None and again is not None:
            which = "its own input" if writer.visit is visit else f"the input of {visit.name}"
            message = (
                f"{writer.visit.name} writes in place ({in_place(writer)}) into {which}, which {again.visit.name} "
                f"reads again afterwards ({again.name}): the skip carries the changed value."
            )
            if fills(writer):
                fix = f"{instead(writer)} Nothing, if the changed value is meant."
                yield Finding("edited skip", writer.visit.path, "note", message, fix)
            else:
                yield Finding("edited skip", writer.visit.path, "mistake", message, instead(writer))


def _before_the_skip(tape: Tape, visit: Visit) -> Iterator[Finding]:
    """Not proved: the call returns what it wrote into, and the module around it adds that, its own input, later."""
    parent = visit.parent
    if parent is None or parent is tape.root:
        return
    for number in visit.taken & visit.returned & parent.taken:
        writer = _writer(tape, visit, number)
        later = (step for step in tape.readers(number) if visit.end <= step.number < parent.end)
        if writer is not None and any(step.visit is parent and adds(step.function) for step in later):
            message = (
                f"{writer.visit.name} writes in place ({in_place(writer)}) into the input of {parent.name}, which adds "
                "that input afterwards: the skip carries the changed value."
            )
            fix = f"{instead(writer)} Nothing, if the changed value is meant."
            yield Finding("edited skip", writer.visit.path, "note", message, fix)


def _writer(tape: Tape, visit: Visit, number: int) -> Step | None:
    """The operation of the call that computes the memory `number` anew from what it held."""
    steps = tape.steps[visit.start : visit.end]
    writers = (step for step in steps if number in step.written)
    return next((step for step in writers if not fills(step) or _chosen_by_itself(tape, visit, step, number)), None)


def _chosen_by_itself(tape: Tape, visit: Visit, step: Step, number: int) -> bool:
    """Whether the call computed from the memory itself where to fill it: `x[x < 0] = 0`. Caches are not filled so."""
    reached = {number}
    for before in tape.steps[visit.start : step.number]:
        if before.read & reached:
            reached |= before.made
    return bool(step.read & (reached - {number}))
