"""Plain tables of texts: heads, rows and which columns stand to the right. Markdown and notebooks draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from identikit.reporting import curve, page
from identikit.results import Front


@dataclass(frozen=True)
class Grid:
    """A table; `marked` is the row to point out, or None."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]
    marked: int | None = None


def cost_grid(table: page.CostTable) -> Grid:
    """The costs of one metric."""
    absence = ("layer", "kind", "cost of its absence", "interval")
    heads = (*absence, "parameters", "share", "time", "time interval", "share of time", "FLOPs", "memory")
    rows = []
    for line in table.lines:
        mark = " ≈ 0" if line.tie else ""
        cost = f"{line.cost} {line.error}".strip() + mark
        effect = (line.place, line.kind, cost, line.interval)
        weight = (line.parameters, line.part, line.seconds, line.spread, line.time, line.flops, line.memory)
        rows.append((*effect, *weight))
    marked = next((number for number, line in enumerate(table.lines) if line.cheapest), None)
    return _filled(Grid(heads, tuple(rows), (False, False, *[True] * 9), marked))


def curve_grid(front: Front) -> Grid:
    """The curve of a prune."""
    heads = ("dropped", "layers", "kept", front.metric, curve.form(front), "parameters", "latency", "memory", "")
    lines = curve.points(front)
    rows = [
        (
            str(line.dropped),
            line.places,
            line.kept,
            f"{line.score} {line.error}".strip(),
            line.made_up,
            line.parameters,
            line.timed,
            line.memory,
            "chosen" if line.chosen else "",
        )
        for line in lines
    ]
    return _filled(Grid(heads, tuple(rows), (True, False, *[True] * 6, False), front.chosen))


def change_grid(changes: Sequence[curve.Change]) -> Grid:
    """The full and the chosen model side by side."""
    rows = tuple((line.what, line.before, line.after, line.said) for line in changes)
    return Grid(("", "before", "after", ""), rows, (False, True, True, False))


def _filled(grid: Grid) -> Grid:
    """Without the columns that have nothing to say."""
    used = [number for number in range(len(grid.heads)) if any(row[number] for row in grid.rows) or number == 0]
    rows = tuple(tuple(row[number] for number in used) for row in grid.rows)
    return Grid(
        tuple(grid.heads[number] for number in used), rows, tuple(grid.right[number] for number in used), grid.marked
    )
