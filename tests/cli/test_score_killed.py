"""A prune by an outside evaluator, killed in the middle: --resume goes on, and no model is evaluated twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import identikit as ik
from cli.conftest import Run
from identikit.results import Front

MINE = """
import os, time
import torch

def score(model):
    time.sleep(float(os.environ.get("SLOW", 0)))
    with torch.no_grad():
        value = float(model(input_ids=torch.arange(5, 11)[None]).logits.abs().sum())
    with open("calls.txt", "a") as file:  # a model is known by what it says
        file.write(f"{value!r}\\n")
    return value
"""


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_nothing_is_evaluated_twice(run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    command = ("prune", models / "classifier", "--score", "mine.py:score", "--drop", 3)
    script = "import sys; from identikit.cli import main; main(sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, command), "--to", "small"],
        env=os.environ | {"SLOW": "0.5"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        journal, patience = tmp_path / "small.scan.jsonl", time.monotonic() + 120
        while len(lines(journal)) < 1 + 5:  # the header, the four of the first round, one of the second
            assert child.poll() is None
            assert time.monotonic() < patience
            time.sleep(0.02)
    finally:
        child.kill()
        said_there = child.communicate()[1]
    assert child.returncode == -signal.SIGKILL, said_there
    before = lines(tmp_path / "calls.txt")
    assert 1 + 5 <= len(before) < 1 + 4 + 3 + 2
    assert not (tmp_path / "small").exists()
    assert "exists. Go on with it by --resume" in run(*command, "--to", "small").err
    said = run(*command, "--to", "small", "--resume")
    assert said.code == 0, said
    calls = lines(tmp_path / "calls.txt")
    assert len(calls) == len(set(calls)) == 1 + 4 + 3 + 2  # the full model, and every set that is tried
    front = Front.read(tmp_path / "small.front.json")
    assert front.choice.dropped == 3
    full, *rest = [point.scores["score"].edited for point in front.points]
    assert repr(full) == calls[0]
    assert {repr(value) for value in rest} <= set(calls)
    assert len(ik.ScanResult.read(journal)) == 4 + 3 + 2
    assert not journal.with_name(journal.name + ".part").exists()
