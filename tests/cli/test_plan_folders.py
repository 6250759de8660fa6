"""MODEL may be a folder that holds a plan: every verb replays it, and finds the tokenizer and the labels beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import identikit as ik
from cli.conftest import Run
from identikit.plan import Plan


@pytest.fixture
def plan_folder(run: Run, models: Path, tmp_path: Path) -> Path:
    Plan.of(["bert.encoder.layer.1"]).write(tmp_path / "plan.json")
    made = run("apply", models / "classifier", tmp_path / "plan.json", "--format", "plan", "--to", tmp_path / "made")
    assert made.code == 0, made
    assert not (tmp_path / "made" / "model.safetensors").exists()
    return tmp_path / "made"


def test_it_is_scanned_as_the_same_model_saved_plainly(
    run: Run, models: Path, plan_folder: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    assert run("apply", models / "classifier", tmp_path / "plan.json", "--to", plain).code == 0
    data = ("--data", models / "labelled.csv", "--metric", "accuracy", "--metric", "fidelity", "--no-costs", "--json")
    found, expected = (json.loads(run("scan", folder, *data).out) for folder in (plan_folder, plain))
    assert len(found["rows"]) == len(expected["rows"]) == 2 * 3
    for mine, theirs in zip(found["rows"], expected["rows"], strict=True):
        assert (mine["full"], mine["edited"]) == (theirs["full"], theirs["edited"])


def test_it_is_pruned_again_and_both_plans_are_one(run: Run, models: Path, plan_folder: Path, tmp_path: Path) -> None:
    data = ("--data", models / "labelled.csv")
    said = run("prune", plan_folder, *data, "--drop", "1", "--format", "plan", "--to", tmp_path / "less")
    assert said.code == 0, said
    assert len(Plan.read(tmp_path / "less" / "plan.json")) == 2
    assert len(ik.load(tmp_path / "less").bert.encoder.layer) == 2


def test_one_of_your_own_class_says_what_it_needs(
    run: Run, refused: Callable[..., str], models: Path, tmp_path: Path
) -> None:
    Plan.of(["layers.0"]).write(tmp_path / "plan.json")
    mine = f"{models}/mine.py"
    how = ("--data", f"{mine}:batches", "--format", "plan", "--to", tmp_path / "x")
    assert run("apply", f"{mine}:net", tmp_path / "plan.json", *how).code == 0
    assert "holds the plan of a plain nn.Module, whose code is yours" in refused("sites", tmp_path / "x")
