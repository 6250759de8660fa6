"""The main job: prune, save with proof, and lay the files that say how it went beside the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from identikit.pruning.prune import Pruned
    from identikit.results import ScanResult
    from identikit.sources.opened import Opened


def prune_and_save(
    opened: Opened, data: Any, to: Path, saved_as: Any, *, page: Path, resume: bool, overwrite: bool, **how: Any
) -> tuple[Pruned, dict[str, Path]]:
    """Prune `opened`, save to `to`; returns what was found and where the files are.

    Rows are written to `to`.scan.jsonl as they are measured, those of held-out examples to `to`.scan.held-out.jsonl:
    these files survive a kill, and --resume goes on with them.
    The HTML page goes to `page` where the libraries that draw it are here.
    """
    from identikit.cli.console import speaks
    from identikit.disk_errors import explained
    from identikit.errors import BudgetError
    from identikit.pruning.course import beside
    from identikit.pruning.prune import prune
    from identikit.saving.save import save

    with explained(to):
        to.parent.mkdir(parents=True, exist_ok=True)
    journal = to.with_name(to.name + ".scan.jsonl")
    inputs = opened.inputs if data is None else None
    try:
        pruned = prune(opened.model, data, to=journal, resume=resume, overwrite=overwrite, inputs=inputs, **how)
    except BudgetError as error:
        kept = journal.exists() or journal.with_name(journal.name + ".new").exists()
        raise BudgetError(f"{error} With --resume nothing is measured twice." if kept else str(error)) from error
    if not speaks():
        return pruned, {}
    example = next(iter(data)) if data is not None else inputs
    save(pruned.model, to, saved_as, like=opened.folder, overwrite=overwrite, inputs=example)
    front = replace(pruned.front, size_before=_weights(opened.folder), size_after=_weights(to))
    pruned = replace(pruned, front=front)
    files = {"model": to, "scan": journal, "curve": to.with_name(to.name + ".front.json")}
    if front.chosen_on is not None:
        files["held out"] = beside(journal)
    front.write(files["curve"])
    if _can_report():
        files["report"] = pruned.report(page)
    return pruned, files


def show_pruned(pruned: Pruned, files: dict[str, Path], *, as_json: bool) -> None:
    """What a prune found, on the terminal: the layers' worth, the curve, before and after, where the files are."""
    from identikit.cli.console import note, show, show_json
    from identikit.families import family_of
    from identikit.reporting.card import GENERATION
    from identikit.reporting.text import front_table, scan_table, summary_table

    if as_json:
        show_json(pruned.front.to_json())
    else:
        show(scan_table(singles(pruned.scan)), "", front_table(pruned.front), "", summary_table(pruned.front), "")
    if pruned.plan.edits and family_of(pruned.model).generates(pruned.model):
        note(GENERATION)
    for what, path in files.items():
        note(f"{what}: {path}")


def singles(scan: ScanResult) -> ScanResult:
    """The rows of single layers: which layers matter, without the combinations that a prune tried."""
    from identikit.results import ScanResult

    return ScanResult(scan.header, [row for row in scan if len(row.places) == 1])


def _weights(folder: Path | None) -> int | None:
    """Bytes of the weights that a library loads from a folder; None where it holds none (a function made the model)."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        found = list(Path(folder).rglob(pattern)) if folder is not None else []
        if found:  # the same weights in an older format beside them are not counted twice
            return sum(file.stat().st_size for file in found)
    return None


def _can_report() -> bool:
    """Whether the libraries of the page are here (the extra `report`)."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("matplotlib", "jinja2"))
