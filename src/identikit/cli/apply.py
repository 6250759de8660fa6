"""`identikit apply`: take out of a model what a plan says, and save the rest."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import note
from identikit.errors import IdentikitWarning

EXAMPLE = "Example:  identikit apply ./my-bert plan.json --to smaller"


def command(
    model: o.Model,
    plan: Annotated[
        Path,
        typer.Argument(
            help="A plan file, or the curve of a prune (.front.json) with --point.", show_default=False
        ),
    ],
    to: o.Folder,
    point: Annotated[
        int | None, typer.Option(help="Of a curve: the point with so many layers dropped. No data is read.")
    ] = None,
    saved_as: o.Format = "checkpoint",
    overwrite: o.Overwrite = False,
    data: o.Example = None,
    task: o.Task = None, device: o.Device = "auto", dtype: o.Dtype = None, trust_remote_code: o.Trust = False,
    text: o.Text = None, text_pair: o.TextPair = None, target: o.Target = None, no_header: o.NoHeader = False,
    batch_size: o.BatchSize = 32, max_length: o.MaxLength = None, limit: o.Limit = None, seed: o.Seed = 0,
) -> None:  # fmt: skip
    """Take out of a model what a plan says, and save the rest, proved."""
    from identikit.cli.opening import example_inputs, opened_model
    from identikit.plan import Plan
    from identikit.results import Front
    from identikit.saving.folder import check_place
    from identikit.saving.save import save
    from identikit.surgery.remove import remove

    check_place(to, overwrite)
    wanted = Plan.read(plan) if point is None else Front.read(plan).plan(point)
    opened = opened_model(model, task, device, dtype, trust_remote_code, seed)
    columns = {"text": text, "text_pair": text_pair, "target": target, "no_header": no_header}
    reading = {"batch_size": batch_size, "max_length": max_length, "limit": limit, "seed": seed}
    inputs = example_inputs(data, opened, **columns, **reading)
    smaller = remove(opened.model, wanted, inputs=inputs)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", IdentikitWarning)
        save(smaller, to, saved_as, like=opened.folder, overwrite=overwrite, inputs=inputs)
    note(f"removed {', '.join(wanted.places)}; saved and proved: {to}")
    for warning in warned:
        note(str(warning.message))
