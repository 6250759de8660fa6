"""`identikit sites`: what can be edited in a model, and why the rest cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import show, show_json
from identikit.cli.opening import Asked, asking

_AT = "Ask about these layers; inner roles are proved then."
EXAMPLE = 'Example:  identikit sites ./my-bert --at "encoder.layer.0.*"'


@asking
def command(
    model: o.Model,
    asked: Asked,
    at: Annotated[str | None, typer.Option("--at", help=_AT, metavar="PLACE")] = None,
    data: o.Example = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """What can be edited in a model, and why the rest cannot."""
    from identikit.families.sites import sites
    from identikit.reporting.text import sites_table

    opened = asked.model(model)
    inputs = asked.example(data, opened)
    found = sites(opened.model, inputs, at=at)
    if as_json:
        show_json([asdict(site) for site in found])
    else:
        show(sites_table(found))
