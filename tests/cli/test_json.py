"""`--json`: every verb but the demonstration answers another program; nothing else stands on standard output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from cli.conftest import Run
from identikit.cli import app
from identikit.plan import Plan


def test_every_verb_has_it_but_the_demo() -> None:
    verbs: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    lacking = [name for name, verb in verbs.items() if not any("--json" in option.opts for option in verb.params)]
    assert lacking == ["demo"]


def test_apply(run: Run, models: Path, tmp_path: Path) -> None:
    Plan.of(["layers.0"]).write(tmp_path / "plan.json")
    to, mine = tmp_path / "x", f"{models}/mine.py"
    said = run("apply", f"{mine}:net", tmp_path / "plan.json", "--data", f"{mine}:batches", "--to", to, "--json")
    assert json.loads(said.out) == {"removed": ["layers.0"], "to": str(to), "notes": []}


def test_report(run: Run, models: Path, tmp_path: Path) -> None:
    scan, page, mine = tmp_path / "scan.jsonl", tmp_path / "page.html", f"{models}/mine.py"
    assert run("scan", f"{mine}:net", "--data", f"{mine}:batches", "--to", scan).code == 0
    said = run("report", scan, "--to", page, "--json")
    assert json.loads(said.out) == {"page": str(page)}
    assert page.is_file()
