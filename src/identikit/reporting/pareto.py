"""The Pareto front of all sets that a scan measured: what takes the most away for the least cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from identikit.plan import Edit
from identikit.reporting import numbers, page, repeat
from identikit.reporting.drawing import Dot, Frame
from identikit.reporting.sections import Figure
from identikit.results import Row, ScanResult
from identikit.results.agreement import CHEAP
from identikit.results.header import together

_MOST_DOTS = 2_000
_ROOM = 1.5  # times the costliest set on the front: what lies higher is not drawn
_LEAST = 4  # sets, from which on there is a front to speak of


@dataclass(frozen=True)
class Set:
    """One measured set of layers: how much of the model goes with it, what that costs."""

    row: Row
    takes: float
    cost: float
    text: page.CostLine


@dataclass(frozen=True)
class Pareto:
    """The front as a figure and as lines: the set, what goes with it, what it costs, where it is on the map."""

    said: str
    takes: str
    figure: Figure
    lines: list[tuple[page.CostLine, str, str]]


def pareto(scan: ScanResult, sets: dict[tuple[Edit, ...], str]) -> Pareto | None:
    """The front by the first exact metric; None where only single layers were measured, or too little."""
    name = next((name for name in scan.header.metrics if name not in CHEAP), None)
    rows = [row for row in scan.ranked(name) if row.places] if name is not None else []
    if name is None or len(rows) < _LEAST or all(len(row.places) == 1 for row in rows):
        return None
    weighed = _weighed(scan, rows)
    found = _sets(scan, name, rows, weighed=weighed)
    best = front_of(found)
    takes = "parameters gone" if weighed else "layers out"
    lines = [
        (each.text, f"{each.takes:.1f} %" if weighed else f"{each.takes:.0f}", sets.get(_edits(each.row), ""))
        for each in best
    ]
    said = page.measured(scan.header, name, rows)
    return Pareto(said, takes, _figure(name, takes, found, best, weighed=weighed), lines)


def front_of(found: Sequence[Set]) -> list[Set]:
    """The sets for which no other takes as much and costs less; the smallest first."""
    best: list[Set] = []
    for each in sorted(found, key=lambda each: (-each.takes, each.cost)):
        if not best or each.cost < best[-1].cost:
            best.append(each)
    return best[::-1]


def _weighed(scan: ScanResult, rows: Sequence[Row]) -> bool:
    """Whether the parameters of every set are known."""
    known = scan.header.sites
    return bool(scan.header.total_parameters) and all(place in known for row in rows for place in row.places)


def _sets(scan: ScanResult, name: str, rows: Sequence[Row], *, weighed: bool) -> list[Set]:
    lines = {line.row: line for line in page.costs(scan, name).lines}
    sites, total = scan.header.sites, scan.header.total_parameters
    found = []
    for row in rows:
        gone = together([sites[place] for place in row.places]).parameters if weighed else len(row.places)
        takes = 100.0 * gone / total if weighed else float(gone)
        found.append(Set(row, takes, scan.cost(row).value, lines[row.key]))
    return found


def _edits(row: Row) -> tuple[Edit, ...]:
    return repeat.plain_edits(row.places, row.plan) or ()


def _figure(name: str, takes: str, found: Sequence[Set], best: Sequence[Set], *, weighed: bool) -> Figure:
    worst = max(each.cost for each in best)
    top = _ROOM * worst if worst > 0.0 else max(abs(each.cost) for each in best)
    others = [each for each in found if each not in best and each.cost <= top][:_MOST_DOTS]
    dots = [Dot(each.takes, each.cost, style="dot", said=_said(each)) for each in others]
    front = [Dot(0.0, 0.0, style="dot best", said="the full model")]
    front += [
        Dot(each.takes, each.cost, each.text.low, each.text.high, style="dot best", said=_said(each)) for each in best
    ]
    metric = numbers.clean(name)
    across = f"{takes}, %" if weighed else takes
    frame = Frame.around([*dots, *front], across, f"cost ({metric})", whole=not weighed)
    drawn = [*frame.dots(dots, 3), *frame.line(front, "best"), *frame.dots(front)]
    left = len(found) - len(best) - len(others)
    said = f"Every measured set of layers: its cost by {metric} against the {takes}. {len(best)} are on the front."
    above = f" {numbers.plural(left, 'costlier set')} not drawn." if left else ""
    below = f"Blue: no other measured set takes as much and costs less. Grey: the other sets.{above}"
    return Figure(frame.svg(drawn), said, below)


def _said(each: Set) -> str:
    return f"{each.text.place}: {each.text.cost}"
