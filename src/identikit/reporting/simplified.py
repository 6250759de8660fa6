"""The table of a simplifying: sizes before and after, what was done to which layers, what was left and why."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from identikit.reporting import numbers, styles
from identikit.reporting.text import Fitted, as_text
from identikit.results.simplified import Left, Simplified

_REPR_WIDTH = 100
_SHOWN = 6  # layers of one kind that are named
_DONE = {
    "strip": "changed nothing: stripped",
    "fold": "norms and scales: folded into a neighbour",
    "merge": "linear layers: merged",
    "branches": "parallel convolutions: made one",
}


def simplified_table(found: Simplified) -> Fitted:
    """What `simplify` did."""

    def build(width: int) -> Group:
        parts: list[RenderableType] = [Text(numbers.clean(found.model), style="bold"), _sizes(found), Text()]
        done = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
        done.add_column(no_wrap=True)
        done.add_column(justify="right", no_wrap=True)
        done.add_column(overflow="fold", style="dim")
        for kind, said in _DONE.items():
            places = [numbers.clean(each.at) for each in found.rewrites if each.kind == kind]
            if places:
                done.add_row(said, str(len(places)), _named(places))
        parts.append(done if found.rewrites else Text("nothing to simplify"))
        identities = sum(each.said.startswith("an nn.Identity") for each in found.rewrites)
        if identities:
            verb = "is" if identities == 1 else "are"
            parts.append(Text(f"{identities} of those stripped {verb} called by name: an nn.Identity stands there."))
        parts += [_left_line(*each) for each in _left(found.left)]
        return Group(*parts, Text(), Text(_proof(found), style="dim"))

    return Fitted(build)


def _sizes(found: Simplified) -> Table:
    before, after = found.before, found.after
    rows = [
        ("parameters", numbers.count, float(before.parameters), float(after.parameters)),
        ("modules", numbers.count, float(before.modules), float(after.modules)),
    ]
    if before.seconds is not None and after.seconds is not None:
        rows.append(("latency", numbers.seconds, before.seconds, after.seconds))
    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    drawn.add_column("", no_wrap=True)
    for head in ("before", "after", ""):
        drawn.add_column(head, justify="right", no_wrap=True)
    for name, written, old, new in rows:
        drawn.add_row(name, written(old), written(new), numbers.change(old, new))
    return drawn


def _named(places: list[str]) -> str:
    """The first places, and how many more there are."""
    more = f", and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more


def _left(left: tuple[Left, ...]) -> list[tuple[str, list[str]]]:
    """What was left, by reason."""
    together: dict[str, list[str]] = defaultdict(list)
    for each in left:
        together[numbers.clean(each.why)].append(numbers.clean(each.at))
    return list(together.items())


def _left_line(why: str, places: list[str]) -> Text:
    return Text(f"left: {_named(places)} ({why})", style=styles.BEWARE)


def _proof(found: Simplified) -> str:
    on = "; ".join(numbers.clean(each) for each in found.proved_on)
    exact = "" if found.float64 is None else f"{_apart(found.float64)} in float64, "
    return f"outputs differ by {exact}{_apart(found.own)} in the model's own dtype; compared on {on}"


def _apart(share: float) -> str:
    return f"{share:.0e}" if share else "0"


def simplified_repr(found: Simplified) -> str:
    """The table as text without colour."""
    return as_text(simplified_table(found), _REPR_WIDTH)
