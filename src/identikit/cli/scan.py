"""`identikit scan`: what each layer is worth on the user's data, exactly or by a cheap score."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from identikit.cli import measuring as m
from identikit.cli import options as o
from identikit.cli.console import note, show, show_json, speaks
from identikit.cli.opening import Asked, asking

_TO = "A file that takes each row as it is measured."
EXAMPLE = "Example:  identikit scan ./my-bert --data pairs.csv --to scan.jsonl"


@asking
def command(
    model: o.Model,
    asked: Asked,
    data: o.DataFile = None,
    metric: m.Metrics = None,
    method: m.Method = "exact",
    at: m.At = None, span: m.Span = None, by: m.By = None, as_: m.Replace = None,
    to: Annotated[Path | None, typer.Option("--to", help=_TO, metavar="FILE", show_default=False)] = None,
    resume: o.Resume = False, overwrite: o.Overwrite = False, score: m.Score = None,
    confidence: m.Sure = None, race: m.Race = None, least: m.Least = None,
    engine: m.Engine = "auto", batch_memory: m.BatchMemory = None, costs: m.Costs = True,
    ray: m.Ray = None, workers: m.Workers = None,
    device_map: o.DeviceMap = None, as_json: o.Json = False,
) -> None:  # fmt: skip
    """What each layer is worth on your data: leave it out and measure, with error bars."""
    from identikit.reporting.text import scan_table
    from identikit.scanning.scan import scan

    opened = asked.model(model, device_map)
    read = asked.data(data, opened)
    result = scan(
        opened.model, read, at, metric or "fidelity", method,
        score=score, inputs=None if read is not None else opened.inputs, seed=asked.seed,
        confidence=confidence, race=race, least=least, engine=engine, batch_memory=batch_memory, costs=costs,
        ray=ray, workers=workers, as_=as_, span=span, by=by, to=to, resume=resume, overwrite=overwrite, name=model,
        command=said(),
    )  # fmt: skip
    if not speaks():
        return
    if as_json:
        show_json({"header": result.header.to_json(), "rows": [row.to_json() for row in result]})
    else:
        show(scan_table(result))
    if to is not None:
        note(f"rows: {to}   page: identikit report {to}")


def said() -> str:
    """The command line as it was typed, to be kept with the result."""
    return shlex.join(["identikit", *sys.argv[1:]])
