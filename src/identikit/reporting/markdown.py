"""Tables of results in Markdown, for a README, an issue or a model card."""

from __future__ import annotations

import re
from collections.abc import Sequence

from identikit.reporting import curve, grids, numbers, page
from identikit.reporting.agreements import agreements
from identikit.reporting.grids import Grid, SiteLike
from identikit.results import Front, ScanResult


def scan_markdown(result: ScanResult) -> str:
    """A table for each metric, each with the line that says what was measured."""
    parts = [f"**{escape(page.model_line(result.header))}**"]
    for name in result.header.metrics:
        table = page.costs(result, name)
        said = ". ".join(filter(None, [table.said, table.bars, table.ties])) + "."
        parts += [escape(said), markdown(grids.cost_grid(table))]
    parts += [escape(f"{said}.") for said in agreements(result)]
    return "\n\n".join(parts) + "\n"


def front_markdown(front: Front) -> str:
    """The full and the chosen model side by side, then the whole curve and why the search stopped."""
    parts = [f"**{escape(page.model_line(front.header))}**"]
    parts += [f"Goal: {escape(front.goal)}."] if front.goal else []
    parts += [escape(curve.measured(front))]
    parts += [markdown(grids.change_grid(curve.changes(front))), markdown(grids.curve_grid(front))]
    parts += [escape(sentence) for sentence in front.said]
    return "\n\n".join(parts) + "\n"


def sites_markdown(sites: Sequence[SiteLike]) -> str:
    """The table of what can be edited."""
    return (markdown(grids.sites_grid(sites)) if sites else "no sites") + "\n"


def markdown(grid: Grid) -> str:
    """One table, its columns padded so that the source is readable too."""
    rows = [[escape(cell) for cell in row] for row in (grid.heads, *grid.rows)]
    widths = [max(3, *(len(row[number]) for row in rows)) for number in range(len(grid.heads))]
    lines = [_row(row, widths, grid.right) for row in rows]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, grid.right, strict=True)]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def escape(text: str) -> str:
    """`text` with nothing in it that Markdown, or the HTML inside it, would read as more than text."""
    told = re.sub(r"([\\`*_\[\]|<>&~$#])", r"\\\1", numbers.clean(text))
    return re.sub(r"^\s*(\d{0,9})([-+=.)])(?=\2|\s)", r"\1\\\2", told)  # what makes a list, or a rule, at its start
