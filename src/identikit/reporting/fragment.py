"""Tables of results as a piece of HTML for a notebook's cell: no style sheet, no library, everything escaped."""

from __future__ import annotations

from html import escape

from identikit.reporting import grids, page
from identikit.reporting.agreements import agreements
from identikit.reporting.grids import Grid
from identikit.results import Front, ScanResult


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
    parts += [f"<div>goal: {escape(front.goal)}</div>"] if front.goal else []
    return f"<div>{''.join([*parts, _table(grids.curve_grid(front))])}</div>"


def _table(grid: Grid) -> str:
    rows = [_row(grid, row, "td", bold=number == grid.marked) for number, row in enumerate(grid.rows)]
    return f"<table><thead>{_row(grid, grid.heads, 'th')}</thead><tbody>{''.join(rows)}</tbody></table>"


def _row(grid: Grid, cells: tuple[str, ...], tag: str, *, bold: bool = False) -> str:
    drawn = []
    for cell, right in zip(cells, grid.right, strict=True):
        weight = ";font-weight:bold" if bold else ""
        drawn.append(f'<{tag} style="text-align:{"right" if right else "left"}{weight}">{escape(cell)}</{tag}>')
    return f"<tr>{''.join(drawn)}</tr>"
