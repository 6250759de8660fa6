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

_TO = "A file that takes each row as it is measured."
EXAMPLE = "Example:  identikit scan ./my-bert --data pairs.csv --to scan.jsonl"


def command(
    model: o.Model,
    data: o.DataFile = None,
    metric: m.Metrics = None,
    method: m.Method = "exact",
    at: m.At = None, span: m.Span = None, by: m.By = None, as_: m.Replace = None,
    to: Annotated[Path | None, typer.Option("--to", help=_TO, metavar="FILE", show_default=False)] = None,
    resume: o.Resume = False, overwrite: o.Overwrite = False, score: m.Score = None,
    confidence: m.Sure = None, race: m.Race = None, least: m.Least = None,
    engine: m.Engine = "auto", batch_memory: m.BatchMemory = None, costs: m.Costs = True,
    ray: m.Ray = None, workers: m.Workers = None,
    task: o.Task = None, device: o.Device = "auto", dtype: o.Dtype = None, device_map: o.DeviceMap = None,
    trust_remote_code: o.Trust = False,
    text: o.Text = None, text_pair: o.TextPair = None, target: o.Target = None, no_header: o.NoHeader = False,
    batch_size: o.BatchSize = 32, max_length: o.MaxLength = None, limit: o.Limit = None, seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """What each layer is worth on your data: leave it out and measure, with error bars."""
    from identikit.cli.opening import opened_data, opened_model
    from identikit.reporting.text import scan_table
    from identikit.scanning.scan import scan

    opened = opened_model(model, task, device, dtype, trust_remote_code, seed, device_map)
    columns = {"text": text, "text_pair": text_pair, "target": target, "no_header": no_header}
    reading = {"batch_size": batch_size, "max_length": max_length, "limit": limit, "seed": seed}
    read = opened_data(data, opened, **columns, **reading) if data is not None else None
    result = scan(
        opened.model, read, at, metric or "fidelity", method,
        score=score, inputs=None if read is not None else opened.inputs, seed=seed,
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
