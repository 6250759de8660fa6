"""A value that backward needs and that a later line overwrites: the model runs and cannot be trained.

`out = relu(conv(x)); out += x` is the usual one: ReLU's backward needs its own result, which `+=` changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from identikit.auditing.tape import Overwritten, Tape
from identikit.auditing.words import in_place, instead
from identikit.results.finding import Finding

LOOKED_FOR = "in-place operations that backward stumbles over"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """A mistake where training mode shows it; a note where eval mode alone does: dropouts make no new value there."""
    tape = tapes[-1]
    said = set()
    for each in tape.overwritten:
        said.add(_place(each))
        yield _finding(each, tape)
    for each in tapes[0].overwritten:
        if _place(each) not in said:
            yield _finding(each, tapes[0], alone=True)


def _place(each: Overwritten) -> tuple[str, str]:
    return each.needed_by.path, each.writer.visit.path if each.writer else ""


def _finding(each: Overwritten, tape: Tape, *, alone: bool = False) -> Finding:
    level: Literal["mistake", "note"] = "note" if alone else "mistake"
    what = "backward in eval mode" if alone else "backward"
    if each.writer is None:
        message = f"what {each.needed_by.name} needs for its backward is changed after it ran: {what} raises an error."
        return Finding("overwritten", each.needed_by.path, level, message, "Write into a copy: x = x.clone().")
    visit, sign = each.writer.visit, in_place(each.writer)
    whose = "its own backward" if visit.path == each.needed_by.path else f"the backward of {each.needed_by.name}"
    message = f"{visit.name} changes in place ({sign}) a value that {whose} needs: {what} raises an error."
    return Finding("overwritten", visit.path, level, message, instead(each.writer))
