"""`identikit audit`: what it prints in narrow and wide terminals, its JSON, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Run

MINE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(50, 1)

    def forward(self, x):
        return x + self.proj(x)


class Raising(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.Identity()

    def forward(self, x):
        return self.attention(x, x)


def raising():
    return Raising()


def broken():
    return nn.Sequential(nn.Linear(50, 50), Block(), nn.Linear(50, 2))


def noted():
    return nn.Sequential(nn.Linear(50, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def sound():
    return nn.Sequential(nn.Linear(50, 2))


def batches():
    return [torch.randn(4, 50, generator=torch.Generator().manual_seed(0))]
"""

NARROW = """\
level    layer  finding
mistake  1      "1" adds shape (4, 1) to (4, 50): the one feature of the first
                is added to all 50 of the second.
                → Give both 50 features (a skip needs a projection); if it is
                meant, say so with expand_as.

Sequential: 1 mistake, no note
"""
WIDE = """\
level    layer  finding
mistake  1      "1" adds shape (4, 1) to (4, 50): the one feature of the first is added to all 50 of the
                second.
                → Give both 50 features (a skip needs a projection); if it is meant, say so with expand_as.

Sequential: 1 mistake, no note
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


@pytest.mark.parametrize(("columns", "shown"), [(80, NARROW), (160, WIDE)])
def test_a_mistake(columns: int, shown: str, run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = run("audit", f"{mine}:broken", "--data", f"{mine}:batches")
    assert "\n".join(line.rstrip() for line in said.out.splitlines()) + "\n" == shown
    assert (said.code, said.err) == (1, "")


def test_notes_alone(run: Run, mine: Path) -> None:
    said = run("audit", f"{mine}:noted", "--data", f"{mine}:batches")
    assert said.code == 0
    assert '"0" adds a bias that "1" (BatchNorm1d) takes away again.' in said.out


def test_nothing(run: Run, mine: Path) -> None:
    said = run("audit", f"{mine}:sound", "--data", f"{mine}:batches")
    assert said.code == 0
    assert said.out.startswith("Sequential: no mistake, no note\nLooked for parameters that get no gradient, ")


def test_json(run: Run, mine: Path) -> None:
    said = run("audit", f"{mine}:broken", "--data", f"{mine}:batches", "--json")
    assert said.code == 1
    (found,) = json.loads(said.out)
    assert (found["kind"], found["module"], found["level"]) == ("broadcast", "1", "mistake")
    assert set(found) == {"kind", "module", "level", "message", "fix"}
    assert json.loads(run("audit", f"{mine}:sound", "--data", f"{mine}:batches", "--json").out) == []


def test_a_folder_needs_no_data(run: Run, models: Path) -> None:
    assert run("audit", models / "classifier").code == 0


def test_bad_input(refused: Callable[..., str], mine: Path, models: Path) -> None:
    assert refused("audit", f"{mine}:sound") == (
        "what Sequential takes is not known. Pass one example of it: inputs=tensor, tuple or dict. "
        "On the command line: --data FILE."
    )
    assert refused("audit", f"{mine}:sound", "--data", f"{models}/mine.py:batches").startswith(
        'Sequential does not run on these inputs: "0" raises RuntimeError: mat1 and mat2 shapes cannot be multiplied'
    )


def test_data_that_was_given_is_not_asked_for(refused: Callable[..., str], mine: Path) -> None:
    assert refused("audit", f"{mine}:raising", "--data", f"{mine}:batches") == (
        'Raising does not run on these inputs: "attention" raises TypeError: Identity.forward() takes 2 positional '
        "arguments but 3 were given. identikit.nn.Identity takes any call, and Identity.like(layer, example) returns "
        "alike."
    )


def test_an_error_that_nobody_expected_is_no_mistake(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from identikit.auditing import audit

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(audit, "audit", broken)
    assert run("audit", f"{mine}:sound", "--data", f"{mine}:batches").code == 70


def test_the_example_of_the_help_is_shown(run: Run) -> None:
    assert "identikit audit my_net.py:build --data my_net.py:batches" in run("audit", "--help").out
