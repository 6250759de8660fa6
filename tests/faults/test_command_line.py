"""On the command line a fault is one line and exit code 2, Ctrl-C one line and 130; the command again ends well."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import identikit as ik
import sample_results as sample
from cli.conftest import MINE, Run
from faults.injector import Kind, watched
from identikit.results import Front

KINDS: tuple[Kind, ...] = ("full", "denied", "interrupted")
SAID = {"full": "the disk is full", "denied": "no permission", "interrupted": "stopped."}


@dataclass(frozen=True)
class Command:
    """What is typed, how it is typed again, and what stands there in the end, as plain data."""

    name: str
    typed: tuple[str, ...]
    again: tuple[str, ...]
    told: Callable[[], Any]


def rows(file: str) -> Any:
    return [{**row.to_json(), "seconds": 0} for row in ik.ScanResult.read(file)]


@functools.cache
def mine() -> dict[str, Any]:
    """What the user's file holds."""
    held: dict[str, Any] = {}
    exec(MINE, held)
    return held


def weights() -> list[str]:
    """The names of what was saved; the user's function draws the values anew each time."""
    return sorted(ik.load("small", model=mine()["net"](), inputs=mine()["batches"]()[0][0]).state_dict())


MODEL, DATA = ("mine.py:net",), ("--data", "mine.py:batches")
COMMANDS = (
    Command("scan", ("scan", *MODEL, *DATA, "--to", "a.jsonl", "--no-costs"), ("--resume",), lambda: rows("a.jsonl")),
    Command(
        "prune", ("prune", *MODEL, *DATA, "--drop", "1", "--to", "small", "--holdout", "0"),
        ("--resume", "--overwrite"),
        lambda: (Front.read("small.front.json").choice.places, weights()),
    ),
    Command("apply", ("apply", *MODEL, "plan.json", *DATA, "--to", "small"), ("--overwrite",), weights),
    Command("report", ("report", "given.jsonl", "--to", "r.html"), (), lambda: Path("r.html").read_bytes()),
    Command(
        "heal", ("heal", "student", "--teacher", *MODEL, *DATA, "--steps", "2", "--to", "small", "--save-every", "0"),
        ("--resume", "--overwrite"), weights,
    ),
    Command(
        "simplify", ("simplify", *MODEL, *DATA, "--to", "m.pt2"), ("--overwrite",), lambda: Path("m.pt2").exists()
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model in a file, a plan, a scan and a student."""
    place = tmp_path_factory.mktemp("start")
    (place / "mine.py").write_text(MINE)
    ik.Plan.of(["layers.1"]).write(place / "plan.json")
    sample.scan().write(place / "given.jsonl")
    example = mine()["batches"]()[0][0]
    ik.save(ik.remove(mine()["net"](), "layers.1", inputs=example), place / "student", inputs=example)
    return place


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_fault(command: Command, start: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fresh(name: str) -> Path:
        place = tmp_path / name
        shutil.copytree(start, place)
        monkeypatch.chdir(place)
        return place

    with watched(fresh("whole")) as disk:
        assert run(*command.typed).code == 0
    whole, left, steps = command.told(), sorted(os.listdir()), len(disk.steps)
    for number, kind in enumerate(KINDS):
        at = 1 + (2 * number + 1) * steps // (2 * len(KINDS))
        place = fresh(kind)
        with watched(place, kind, at) as disk:
            said = run(*command.typed)
        told = f"{kind} at {at}, {disk.steps[at - 1 :]}: {said}"
        assert said.code == (130 if kind == "interrupted" else 2), told
        assert said.out == "", told
        (line,) = [each for each in said.err.splitlines() if each.startswith("error: ")]
        assert SAID[kind] in line, told
        assert "Traceback" not in said.err, told
        again = run(*command.typed, *command.again)
        assert again.code == 0, (told, again)
        assert command.told() == whole, told
        assert sorted(os.listdir()) == left, told
