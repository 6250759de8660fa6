"""A layer that runs and whose result reaches no output: a later line overwrote it, or nobody reads it.

A CNN whose pass layer overwrites what the convolution gave is the usual one: the convolution learns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from identikit.auditing.tape import Tape, Visit
from identikit.results.finding import Finding

LOOKED_FOR = "dead branches"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A mistake where the layer's own caller drops the result; a note where a module around it hands it out first.

    A pooler that a library returns and nobody reads is of the second kind, and a layer of a module that gave up on
    these inputs (too short a sequence). A layer of which one call is of use in one of the passes is none.
    """
    dead = {id(visit): tape for tape in tapes for visit in _dead(tape)}
    for path in dict.fromkeys(visit.path for tape in tapes for visit in tape.visits):
        calls = [visit for tape in tapes for visit in tape.visits if visit.path == path]
        if all(id(visit) in dead for visit in calls):
            yield _finding(dead[id(calls[0])], calls[0])


def _finding(tape: Tape, visit: Visit) -> Finding:
    model = tape.root.name
    if _handed_out(tape, visit):
        message = f"{visit.name} runs, but its result, handed out beside others, reaches no output of {model}."
        fix = "Read that result, or build the model without the layer; nothing, if it is not needed here."
        return Finding("dead branch", visit.path, "note", message, fix)
    early = _given_up(tape, visit)
    if early is not None:
        message = f"{visit.name} runs, but {early.name} returns without its result on these inputs."
        return Finding("dead branch", visit.path, "note", message, "Nothing, if other inputs need it.")
    message = f"{visit.name} runs, but what it returns reaches no output of {model}, so it learns nothing."
    fix = f"Use what {visit.name} returns (a later line may overwrite it), or delete the layer."
    return Finding("dead branch", visit.path, "mistake", message, fix)


def _dead(tape: Tape) -> list[Visit]:
    """The outermost calls of layers that are trained and return something, of which nothing shows."""
    found: dict[int, Visit] = {}
    for visit in tape.visits:
        trained = any(parameter.requires_grad for parameter in visit.module.parameters())
        inner = any(id(outer) in found for outer in visit.around())
        if trained and not inner and visit.outputs and not visit.returned & tape.live:
            found[id(visit)] = visit
    return list(found.values())


def _handed_out(tape: Tape, visit: Visit) -> bool:
    """Whether a module returns what was computed from the call's result, beside something that shows."""
    reached = tape.computed_from(visit.returned)
    return any(each.returned & reached and each.returned & tape.live for each in tape.visits if each is not visit)


def _given_up(tape: Tape, visit: Visit) -> Visit | None:
    """A module around the call that returned nothing computed from what it was given."""
    outer = (each for each in visit.around() if each is not tape.root and each.outputs)
    return next((each for each in outer if not each.returned & tape.computed_from(each.taken)), None)
