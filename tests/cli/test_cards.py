"""The cards of what the commands save: the command, its figures, and the warning that a generating model needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import tiny
from cli.conftest import Run
from identikit.reporting.card import GENERATION
from identikit.results import Front


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_prune(run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["identikit", "prune", str(models / "causal"), "--drop", "1"]
    monkeypatch.setattr("sys.argv", typed)
    said = run("prune", models / "causal", "--data", models / "text.txt", "--drop", 1, "--to", tmp_path / "x")
    assert said.code == 0, said
    assert GENERATION in one_line(said.err)
    text = (tmp_path / "x" / "README.md").read_text()
    assert "\n# causal without 1 layer\n" in text
    assert f"**Beware.** {GENERATION}" in text
    assert f"```bash\n{' '.join(typed)}\n```" in text
    front = Front.read(tmp_path / "x.front.json")
    assert front.header.data.fingerprint in text
    assert "not the figures" not in text


def test_prune_of_a_classifier_is_not_warned_of(run: Run, models: Path, tmp_path: Path) -> None:
    data = ("--data", models / "labelled.csv")
    said = run("prune", models / "classifier", *data, "--drop", 1, "--to", tmp_path / "x")
    assert said.code == 0, said
    assert "Generative" not in said.err + (tmp_path / "x" / "README.md").read_text()


def test_apply_of_a_plan_has_no_figures(run: Run, models: Path, tmp_path: Path) -> None:
    from identikit.plan import Plan

    Plan.of(["model.layers.1"]).write(tmp_path / "plan.json")
    said = run("apply", models / "causal", tmp_path / "plan.json", "--to", tmp_path / "x")
    assert GENERATION in one_line(said.err)
    text = (tmp_path / "x" / "README.md").read_text()
    assert "## How it came about: apply\n\nBy the plan plan.json.\n\nNothing was measured.\n" in text


def test_apply_of_a_point_has_the_curves_figures_if_it_is_of_these_weights(
    run: Run, models: Path, tmp_path: Path
) -> None:
    data = ("--data", models / "labelled.csv")
    run("prune", models / "classifier", *data, "--drop", 2, "--holdout", 0, "--to", tmp_path / "two")
    curve = tmp_path / "two.front.json"
    point = Front.read(curve).points[1]
    assert run("apply", models / "classifier", curve, "--point", 1, "--to", tmp_path / "one").code == 0
    text = (tmp_path / "one" / "README.md").read_text()
    assert "Taken from the curve of a prune: the point with 1 dropped." in text
    assert f"{point.scores['fidelity'].edited:.3f}" in text
    assert "Goal" not in text
    assert "not the figures" not in text
    other = tiny.model("classifier")
    with torch.no_grad():
        other.classifier.weight.add_(1)
    shutil.copytree(models / "classifier", tmp_path / "other")
    other.save_pretrained(tmp_path / "other")
    assert run("apply", tmp_path / "other", curve, "--point", 1, "--to", tmp_path / "three").code == 0
    text = (tmp_path / "three" / "README.md").read_text()
    assert "It was measured on a model of other weights, so its figures are not repeated here." in text
    assert "fidelity" not in text


def test_a_model_that_was_pruned_before_says_so(
    run: Run, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both steps, the first one's figures as those of an earlier model."""
    data, source = ("--data", models / "labelled.csv", "--drop", 1), models / "classifier"
    for number in (1, 2):
        monkeypatch.setattr("sys.argv", ["identikit", "prune", f"number-{number}"])
        assert run("prune", source, *data, "--to", tmp_path / str(number)).code == 0
        source = tmp_path / str(number)
    text = (tmp_path / "2" / "README.md").read_text()
    assert text.count("## How it came about: prune") == 2
    assert text.index("prune number-1") < text.index("prune number-2")
    before, after = text.split("prune number-1")
    assert "not the figures of the model in this folder" in before
    assert "not the figures" not in after
