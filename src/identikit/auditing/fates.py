"""What became of a parameter that is trained and gets no gradient: where it was cut off, or who dropped it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from identikit.auditing.dead_branch import excused
from identikit.auditing.tape import Step, Tape
from identikit.structure.operations import memory

How = Literal["cut", "choice", "written", "number", "unread", "withheld", "aside", "dropped"]


@dataclass(frozen=True)
class Fate:
    """`how` it happened, in which module (its path, and in words), in which operation.

    "cut": where numbers could carry a gradient. "choice": where whole numbers are made, which have none. "written":
    cut off, and the forward writes the parameter itself. "number": Python took its value. "unread": nothing reads it.
    "withheld": an operation's own backward gives none. "aside": what is made of it was handed out and not used.
    "dropped": what is made of it was not used.
    """

    how: How
    path: str
    where: str
    operation: str = ""


def fate(tapes: Sequence[Tape], name: str) -> Fate:
    """The fate of the parameter `name`, which none of the passes reached."""
    cut = next((found for tape in tapes if (found := _cut(tape, name)) is not None), None)
    return cut or _unused(tapes, name)


def _cut(tape: Tape, name: str) -> Fate | None:
    """The first cut between the parameter and an output; a number that Python took where there is no other."""
    makers: dict[int, Step | None] = dict.fromkeys(tape.memories(name))
    taken: Fate | None = None
    for step in tape.steps:
        given = [tensor for tensor in step.inputs if memory(tensor) in makers]
        if given and not step.made:
            taken = taken or _fate("number", step)
        elif given and (step.made - tape.own) & tape.shown and not _carried(step, given):
            if not _floating(given):  # the whole numbers of an operation with two results
                return _fate("choice", makers[memory(given[0])] or step)
            if not _floating(step.outputs):
                return _fate("choice", step)
            return _fate("written" if name in tape.rewritten else "cut", step)
        elif given:
            for number in step.made:
                makers.setdefault(number, step)
    return taken


def _unused(tapes: Sequence[Tape], name: str) -> Fate:
    """The fate of a parameter that no cut explains."""
    owner = name.rpartition(".")[0]
    reads = [(tape, step.visit) for tape in tapes for step in tape.steps if step.read & tape.memories(name)]
    if not reads:
        return Fate("unread", owner, "")
    how: How = "dropped"
    if any(excused(tape, tape.computed_from(tape.memories(name)), [visit, *visit.around()]) for tape, visit in reads):
        how = "aside"
    if any((tape.computed_from(tape.memories(name)) - tape.own) & tape.shown for tape, _ in reads):
        how = "withheld"
    return Fate(how, owner, reads[0][1].name)


def _fate(how: How, step: Step) -> Fate:
    return Fate(how, step.visit.path, step.visit.name, step.name)


def _carried(step: Step, given: Sequence[torch.Tensor]) -> bool:
    return any(tensor.requires_grad for tensor in given) and any(made.requires_grad for made in step.outputs)


def _floating(tensors: Sequence[torch.Tensor]) -> bool:
    return any(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors)
