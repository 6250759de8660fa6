"""Plain tables of texts: heads, rows and which columns stand to the right. Markdown and notebooks draw them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from identikit.plan import Plan
from identikit.reporting import curve, numbers, page
from identikit.results import Front
from identikit.results.finding import Finding


class SiteLike(Protocol):
    """What a table of sites shows of one."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def verdict(self) -> str: ...


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


def sites_grid(sites: Iterable[SiteLike]) -> Grid:
    """What can be edited, and why the rest cannot."""
    heads = ("layer", "kind", "role", "parameters", "verdict")
    rows = [(site.path, site.kind, site.role, f"{site.parameters:,}", site.verdict) for site in sites]
    return Grid(heads, _clean(rows), (False, False, False, True, False))


def plan_grid(plan: Plan, calls: Mapping[str, int] | None = None) -> Grid:
    """The edits of a plan; `calls`: how often each ran in the pass that checked it."""
    rows = [
        (
            edit.op,
            edit.at,
            ", ".join(f"{key}={value}" for key, value in edit.options),
            "" if calls is None else str(calls.get(edit.at, "")),
        )
        for edit in plan
    ]
    return _filled(Grid(("edit", "at", "options", "calls"), _clean(rows), (False, False, False, True)))


def findings_grid(findings: Iterable[Finding]) -> Grid:
    """What an audit found, and what to write instead."""
    rows = [(each.level, each.module or "the model", each.message, each.fix) for each in findings]
    return Grid(("level", "layer", "finding", "fix"), _clean(rows), (False,) * 4)


def _clean(rows: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(numbers.clean, row)) for row in rows)


def _filled(grid: Grid) -> Grid:
    """Without the columns that have nothing to say."""
    used = [number for number in range(len(grid.heads)) if any(row[number] for row in grid.rows) or number == 0]
    rows = tuple(tuple(row[number] for number in used) for row in grid.rows)
    return Grid(
        tuple(grid.heads[number] for number in used), rows, tuple(grid.right[number] for number in used), grid.marked
    )
