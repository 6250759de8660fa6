"""Tables as a piece of HTML for a notebook's cell: no script, no colour of its own, everything escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from identikit.plan import Plan
from identikit.reporting import grids, numbers, page
from identikit.reporting.agreements import agreements
from identikit.reporting.grids import Grid, SiteLike
from identikit.results import Front, ScanResult
from identikit.results.finding import Findings


def scan_fragment(result: ScanResult) -> str:
    """A table for each metric."""
    parts = [f"<strong>{escape(page.model_line(result.header))}</strong>"]
    for name in result.header.metrics:
        table = page.costs(result, name)
        parts += [f"<div>{escape(table.said)}</div>", _table(grids.cost_grid(table))]
        parts += [f"<div>{escape(table.ties)}</div>"] if table.ties else []
    parts += [f"<div>{escape(said)}</div>" for said in agreements(result)]
    return f"<div>{''.join(parts)}</div>"


def front_fragment(front: Front) -> str:
    """The curve, with the goal above it."""
    parts = [f"<strong>{escape(page.model_line(front.header))}</strong>"]
    parts += [f"<div>goal: {escape(numbers.clean(front.goal))}</div>"] if front.goal else []
    return f"<div>{''.join([*parts, _table(grids.curve_grid(front))])}</div>"


def sites_fragment(sites: Sequence[SiteLike], model: str = "") -> str:
    """What can be edited in a model, and why the rest cannot."""
    ready = sum(site.verdict == "ok" for site in sites)
    said = f"{numbers.plural(len(sites), 'site')}, {ready:,} of them ready to be edited"
    head = f"<strong>{escape(numbers.clean(model))}</strong>" if model else ""
    return f"<div>{head}{_table(grids.sites_grid(sites)) if sites else ''}<div>{escape(said)}</div></div>"


def plan_fragment(plan: Plan, state: str = "", calls: Mapping[str, int] | None = None) -> str:
    """The edits of a plan; of one that is applied, its `state` and `calls` too."""
    what = " ".join(filter(None, ("Plan", f"for {plan.model}" if plan.model else "", f"({state})" if state else "")))
    said = f"{numbers.clean(what)}: {numbers.plural(len(plan), 'edit')}"
    table = _table(grids.plan_grid(plan, calls)) if len(plan) else ""
    return f"<div><strong>{escape(said)}</strong>{table}</div>"


def findings_fragment(findings: Findings) -> str:
    """What an audit found; where that is nothing, what it looked for."""
    model = escape(numbers.clean(findings.model) or "the model")
    if not findings:
        looked = f" Looked for {', '.join(findings.looked_for)}." if findings.looked_for else ""
        return f"<div><strong>{model}</strong>: nothing found.{escape(numbers.clean(looked))}</div>"
    return f"<div><strong>{model}</strong>{_table(grids.findings_grid(findings))}</div>"


def _table(grid: Grid) -> str:
    rows = [_row(grid, row, "td", bold=number == grid.marked) for number, row in enumerate(grid.rows)]
    digits = ' style="font-variant-numeric:tabular-nums"'
    return f"<table{digits}><thead>{_row(grid, grid.heads, 'th')}</thead><tbody>{''.join(rows)}</tbody></table>"


def _row(grid: Grid, cells: tuple[str, ...], tag: str, *, bold: bool = False) -> str:
    drawn = []
    for cell, right in zip(cells, grid.right, strict=True):
        weight = ";font-weight:bold" if bold else ""
        scope = ' scope="col"' if tag == "th" else ""
        drawn.append(f'<{tag}{scope} style="text-align:{"right" if right else "left"}{weight}">{escape(cell)}</{tag}>')
    return f"<tr>{''.join(drawn)}</tr>"
