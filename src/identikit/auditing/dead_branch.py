"""A layer that runs and whose result reaches no output: a later line overwrote it, or nobody reads it.

A CNN whose pass layer overwrites what the convolution gave is the usual one: the convolution learns nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from identikit.auditing.tape import Tape, Visit
from identikit.results.finding import Finding
from identikit.structure.operations import memory

LOOKED_FOR = "dead branches"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A mistake where the layer's own caller drops the result; a note where a module around it hands it out first.

    A pooler that a library returns and nobody reads is of the second kind, and a layer of a module that gave up on
    these inputs (too short a sequence). A layer of which one call is of use in one of the passes is none. A layer
    that nothing trains, such as an activation, is a note.
    """
    reached = set().union(*(tape.reached or () for tape in tapes))
    dead = {id(visit): tape for tape in tapes for visit in _dead(tape, reached)}
    for path in dict.fromkeys(visit.path for tape in tapes for visit in tape.visits):
        calls = [visit for tape in tapes for visit in tape.visits if visit.path == path]
        if all(id(visit) in dead for visit in calls):
            yield _finding(dead[id(calls[0])], calls[0])


def excused(tape: Tape, made: set[int], around: Iterable[Visit]) -> bool:
    """Whether what was `made` inside `around` may be left unused on purpose, though no output shows it."""
    return tape.derived or _handed_out(tape, made) or _given_up(tape, around) is not None


def _finding(tape: Tape, visit: Visit) -> Finding:
    model = tape.root.name
    if not _trained(visit):
        message = f"{visit.name} runs, but nothing reads what it returns."
        fix = f"Use what {visit.name} returns, or delete it; nothing, if it only looks."
        return Finding("dead branch", visit.path, "note", message, fix)
    if tape.derived:
        message = f"{visit.name} runs, but what it returns reaches no output of {model}, derivatives aside."
        fix = "Use it, or delete the layer; nothing, if a derivative of it is used."
        return Finding("dead branch", visit.path, "note", message, fix)
    if _handed_out(tape, tape.computed_from(visit.returned), visit):
        message = f"{visit.name} runs, but its result, handed out beside others, reaches no output of {model}."
        fix = "Read that result, or build the model without the layer; nothing, if it is not needed here."
        return Finding("dead branch", visit.path, "note", message, fix)
    early = _given_up(tape, visit.around())
    if early is not None:
        message = f"{visit.name} runs, but {early.name} returns without its result on these inputs."
        return Finding("dead branch", visit.path, "note", message, "Nothing, if other inputs need it.")
    message = f"{visit.name} runs, but what it returns reaches no output of {model}, so it learns nothing."
    fix = f"Use what {visit.name} returns (a later line may overwrite it), or delete the layer."
    return Finding("dead branch", visit.path, "mistake", message, fix)


def _dead(tape: Tape, reached: set[str]) -> list[Visit]:
    """The outermost calls that return something of which nothing shows, not even in a gradient.

    What is not trained counts only where nothing at all reads it: a dead branch is said of its layers.
    """
    found: dict[int, Visit] = {}
    for visit in tape.visits:
        inner = any(id(outer) in found for outer in visit.around())
        if inner or not visit.returned or visit.returned & tape.live or _learns(tape, visit, reached):
            continue
        unread = not any(step.number >= visit.end for number in visit.returned for step in tape.readers(number))
        if _trained(visit) or unread:
            found[id(visit)] = visit
    return list(found.values())


def _trained(visit: Visit) -> bool:
    return any(parameter.requires_grad for parameter in visit.module.parameters())


def _learns(tape: Tape, visit: Visit, reached: set[str]) -> bool:
    """Whether backward reaches the layer all the same: a derivative of its result was used."""
    return any(tape.parameters.get(memory(parameter)) in reached for parameter in visit.module.parameters())


def _handed_out(tape: Tape, made: set[int], but: Visit | None = None) -> bool:
    """Whether a module returns some of what was `made` beside something that shows."""
    return any(each.returned & made and each.returned & tape.live for each in tape.visits if each is not but)


def _given_up(tape: Tape, around: Iterable[Visit]) -> Visit | None:
    """A module around that returned nothing computed from what it was given."""
    outer = (each for each in around if each is not tape.root and each.outputs)
    return next((each for each in outer if not each.returned & tape.computed_from(each.taken)), None)
