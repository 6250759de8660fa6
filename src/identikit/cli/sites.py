"""`identikit sites`: what can be edited in a model, and why the rest cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import show, show_json

_AT = "Ask about these layers; inner roles are proved then."
EXAMPLE = 'Example:  identikit sites ./my-bert --at "encoder.layer.0.*"'


def command(
    model: o.Model,
    at: Annotated[str | None, typer.Option("--at", help=_AT, metavar="PLACE")] = None,
    data: o.Example = None,
    task: o.Task = None, device: o.Device = "auto", dtype: o.Dtype = None, trust_remote_code: o.Trust = False,
    text: o.Text = None, text_pair: o.TextPair = None, target: o.Target = None, no_header: o.NoHeader = False,
    batch_size: o.BatchSize = 32, max_length: o.MaxLength = None, limit: o.Limit = None, seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """What can be edited in a model, and why the rest cannot."""
    from identikit.cli.opening import example_inputs, opened_model
    from identikit.families.sites import sites
    from identikit.reporting.text import sites_table

    opened = opened_model(model, task, device, dtype, trust_remote_code, seed)
    columns = {"text": text, "text_pair": text_pair, "target": target, "no_header": no_header}
    reading = {"batch_size": batch_size, "max_length": max_length, "limit": limit, "seed": seed}
    inputs = example_inputs(data, opened, **columns, **reading)
    found = sites(opened.model, inputs, at=at)
    if as_json:
        show_json([asdict(site) for site in found])
    else:
        show(sites_table(found))
