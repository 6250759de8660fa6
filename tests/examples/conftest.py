"""Runs a worked example as a user would, in a folder of its own, and gives what it printed."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = Path(os.environ.get("IDENTIKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("own_module", "--quick")`; files are written to `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def ran(name: str, *options: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return ran


@pytest.fixture
def data() -> str:
    """The folder of real models and data."""
    if not (DATA / "tinyllama").is_dir():
        pytest.skip(f"the models and data of the examples are not at {DATA}; IDENTIKIT_DATA names another folder")
    return str(DATA)
