"""`identikit audit`: the mistakes that people publish, looked for in a model."""

from __future__ import annotations

from dataclasses import asdict

import typer

from identikit.cli import options as o
from identikit.cli.console import show, show_json
from identikit.cli.opening import Asked, asking

EXAMPLE = "Example:  identikit audit my_net.py:build --data my_net.py:batches"


@asking
def command(
    model: o.Model,
    asked: Asked,
    data: o.Example = None,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Published mistakes in a model, and their fixes. Exit code 1 where there is a mistake, 0 with notes alone."""
    from identikit.auditing.audit import audit
    from identikit.reporting.findings import findings_table

    opened = asked.model(model)
    inputs = asked.example(data, opened)
    found = audit(opened.model, inputs)
    if as_json:
        show_json([asdict(finding) for finding in found])
    else:
        show(findings_table(found))
    if found.mistakes:
        raise typer.Exit(1)
