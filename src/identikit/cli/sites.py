"""`identikit sites`: what can be edited in a model, and why the rest cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import show, show_json

EXAMPLE = 'Example:  identikit sites ./my-bert --at "encoder.layer.0.*"'


def command(
    model: o.Model,
    at: Annotated[str | None, typer.Option("--at", help="Ask about these layers; inner roles are proved then.")] = None,
    task: o.Task = None,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = 32,
    max_length: o.MaxLength = None,
    limit: o.Limit = None,
    seed: o.Seed = 0,
    data: Annotated[
        str | None, typer.Option("--data", help="Run on this data's first batch, not on an example.")
    ] = None,
    trust_remote_code: o.Trust = False,
    as_json: o.Json = False,
) -> None:
    """What can be edited in a model, and why the rest cannot."""
    from identikit.cli.opening import opened_data, opened_model
    from identikit.families.sites import sites
    from identikit.reporting.text import sites_table

    opened = opened_model(model, task, device, dtype, trust_remote_code, seed)
    inputs = opened.inputs
    if data is not None:
        read = opened_data(
            data, opened, batch_size=batch_size, max_length=max_length, limit=limit or batch_size, seed=seed
        )
        inputs = next(iter(read))
    found = sites(opened.model, inputs, at=at)
    if as_json:
        show_json([asdict(site) for site in found])
    else:
        show(sites_table(found))
