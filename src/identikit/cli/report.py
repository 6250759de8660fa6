"""`identikit report`: a scan or a prune's curve as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import note, show_json

EXAMPLE = "Example:  identikit report scan.jsonl --to report.html"


def command(
    results: Annotated[
        list[Path],
        typer.Argument(help="scan.jsonl, front.json, or both of one run.", metavar="RESULTS", show_default=False),
    ],
    to: Annotated[Path, typer.Option("--to", help="The page to write.", metavar="FILE")] = Path("report.html"),
    as_json: o.Json = False,
) -> None:
    """Draw a scan (JSON Lines) or a prune's curve (front.json) as one self-contained HTML page."""
    from identikit.reporting.html import report

    page = report(read_results(results), to)
    if as_json:
        show_json({"page": str(page)})
    else:
        note(f"page: {page}")


def read_results(files: list[Path]) -> object:
    """What the page shows: a scan, a front, or the pair."""
    from identikit.errors import ResultError
    from identikit.results import Front, ScanResult
    from identikit.results.read import read_result

    read = [read_result(file) for file in files]
    fronts = [each for each in read if isinstance(each, Front)]
    scans = [each for each in read if isinstance(each, ScanResult)]
    if len(fronts) > 1 or len(scans) > 1:
        raise ResultError("a page shows one scan and one front at most. Draw the others on pages of their own.")
    if fronts and scans:
        return scans[0], fronts[0]
    return (fronts or scans)[0]
