"""`identikit audit`: the mistakes that people publish, looked for in a model."""

from __future__ import annotations

from dataclasses import asdict

import typer

from identikit.cli import options as o
from identikit.cli.console import show, show_json

EXAMPLE = "Example:  identikit audit my_net.py:build --data my_net.py:batches"


def command(
    model: o.Model,
    data: o.Example = None,
    task: o.Task = None, device: o.Device = "auto", dtype: o.Dtype = None, trust_remote_code: o.Trust = False,
    text: o.Text = None, text_pair: o.TextPair = None, target: o.Target = None, no_header: o.NoHeader = False,
    batch_size: o.BatchSize = 32, max_length: o.MaxLength = None, limit: o.Limit = None, seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Published mistakes in a model, and their fixes. Exit code 1 where there is a mistake, 0 with notes alone."""
    from identikit.auditing.audit import audit
    from identikit.cli.opening import example_inputs, opened_model
    from identikit.reporting.findings import findings_table

    opened = opened_model(model, task, device, dtype, trust_remote_code, seed)
    columns = {"text": text, "text_pair": text_pair, "target": target, "no_header": no_header}
    reading = {"batch_size": batch_size, "max_length": max_length, "limit": limit, "seed": seed}
    inputs = example_inputs(data, opened, **columns, **reading)
    found = audit(opened.model, inputs)
    if as_json:
        show_json([asdict(finding) for finding in found])
    else:
        show(findings_table(found))
    if found.mistakes:
        raise typer.Exit(1)
