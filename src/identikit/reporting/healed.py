"""The table of a healing: how far from the teacher before and after, on what, and why it ended."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from identikit.reporting import numbers, styles
from identikit.reporting.text import Fitted, as_text
from identikit.results.healed import Healed

_REPR_WIDTH = 100


def healed_table(found: Healed) -> Fitted:
    """What `heal` did."""

    def build(width: int) -> Group:
        parts: list[RenderableType] = [Text(numbers.clean(found.model), style="bold"), _distances(found), Text()]
        parts += [Text(line) for line in _lines(found)]
        parts += [Text(numbers.clean(note), style=styles.BEWARE) for note in found.notes]
        return Group(*parts)

    return Fitted(build)


def _distances(found: Healed) -> Table:
    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    drawn.add_column("from the teacher, held out", no_wrap=True)
    for head in ("before", "after", ""):
        drawn.add_column(head, justify="right", no_wrap=True)
    change = numbers.change(found.before, found.after) if found.before else ""
    drawn.add_row(Text(numbers.clean(found.measure)), f"{found.before:.4g}", f"{found.after:.4g}", change)
    return drawn


def _lines(found: Healed) -> list[str]:
    states = f"{len(found.pairs)} hidden states" if len(found.pairs) != 1 else "1 hidden state"
    on = f"{numbers.count(found.examples)} examples of {numbers.clean(found.data)}"
    first = f"learned from {on}, outputs and {states}; judged on {numbers.count(found.held_out)} others"
    how = f"{numbers.count(found.steps)} steps in {numbers.seconds(found.seconds)}, rate {found.lr:.2g}"
    kept = f"the weights are those of step {numbers.count(found.best_step)}"
    if not found.improved:
        kept = "nothing was nearer than the start, so the model is as it was"
    lost = f"; {numbers.count(found.skipped)} steps were not finite and left out" if found.skipped else ""
    return [first, f"{how}; it ended because {numbers.clean(found.stopped)}{lost}", kept]


def healed_repr(found: Healed) -> str:
    """The table as text without colour."""
    return as_text(healed_table(found), _REPR_WIDTH)
