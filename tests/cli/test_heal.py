"""`identikit heal`: what it prints, what it writes, how it goes on, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from cli.conftest import Run
from identikit.healing.training import Training
from identikit.sources import open_model


@pytest.fixture(scope="module")
def smaller(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prune` leaves: folders `classifier` and `causal` without some layers, and one as a plan."""
    place = tmp_path_factory.mktemp("smaller")
    for name, drop in (("classifier", "bert.encoder.layer.[1,2]"), ("causal", "model.layers.[1,2]")):
        ik.save(ik.remove(open_model(models / name).model, drop), place / name, like=models / name)
    ik.save(ik.remove(open_model(models / "classifier").model, "bert.encoder.layer.1"), place / "planned", "plan")
    return place


def heal(run: Run, student: Path, teacher: Path, data: object, to: Path, *more: object) -> Any:
    how = ("--data", data, "--to", to, "--steps", 8, "--batch-size", 1, *more)
    return run("heal", student, "--teacher", teacher, *how)


def test_a_classifier(run: Run, models: Path, smaller: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    to = tmp_path / "healed"
    said = heal(run, smaller / "classifier", models / "classifier", models / "labelled.csv", to, "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    assert found["after"] < found["before"]
    assert [pair[1] for pair in found["pairs"]] == ["into bert.encoder.layer.3", "out of bert.encoder.layer.3"]
    assert said.err.endswith(f"healed; saved and proved: {to}\n")
    again = AutoModelForSequenceClassification.from_pretrained(to)
    before = AutoModelForSequenceClassification.from_pretrained(smaller / "classifier")
    assert again.config.num_hidden_layers == 2
    assert not torch.equal(again.classifier.weight, before.classifier.weight)
    assert (to / "tokenizer_config.json").is_file()
    assert ik.Plan.read(to / "plan.json").places == ("bert.encoder.layer.1", "bert.encoder.layer.2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["healed"]


def test_a_language_model_on_its_teachers_text(run: Run, models: Path, smaller: Path, tmp_path: Path) -> None:
    to = tmp_path / "healed"
    said = heal(run, smaller / "causal", models / "causal", "self", to, "--limit", 4)
    assert said.code == 0, said
    assert "KL of logits (nats)" in " ".join(said.out.split())
    assert (
        "learned from 3 examples of text by the teacher, outputs and 2 hidden states; judged on 1 others"
        in " ".join(said.out.split())
    )
    assert "Generative reasoning" in " ".join(said.out.split())
    assert (to / "model.safetensors").is_file()


def test_a_plan_folder_stays_one(run: Run, models: Path, smaller: Path, tmp_path: Path) -> None:
    to = tmp_path / "healed"
    said = heal(run, smaller / "planned", models / "classifier", models / "labelled.csv", to)
    assert said.code == 0, said
    assert (to / "identikit-weights.safetensors").is_file()
    assert "outputs and 3 hidden states" in " ".join(said.out.split())


def test_a_model_of_the_users_code(run: Run, models: Path, tmp_path: Path) -> None:
    net = f"{models / 'mine.py'}:net"
    inputs = torch.randn(2, 6)
    student = tmp_path / "smaller"
    ik.save(ik.remove(open_model(net).model, "layers.1", inputs=inputs), student, inputs=inputs)
    said = heal(run, student, net, f"{models / 'mine.py'}:batches", tmp_path / "healed")
    assert said.code == 0, said
    assert "outputs and 3 hidden states" in " ".join(said.out.split())
    full = open_model(net).model
    healed = ik.load(tmp_path / "healed", full)
    assert len(healed.layers) == 3


def test_a_plan_for_a_model_that_carries_none(
    run: Run, refused: Callable[..., str], models: Path, smaller: Path, tmp_path: Path
) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(smaller / "classifier", bare)
    plan = (bare / "plan.json").rename(tmp_path / "plan.json")
    said = heal(run, bare, models / "classifier", models / "labelled.csv", tmp_path / "one")
    assert "outputs alone were learned from: this BertForSequenceClassification carries no plan" in " ".join(
        said.out.split()
    )
    said = heal(run, bare, models / "classifier", models / "labelled.csv", tmp_path / "two", "--plan", plan)
    assert "outputs and 2 hidden states" in " ".join(said.out.split()), said
    assert ik.Plan.read(tmp_path / "two" / "plan.json").places == ik.Plan.read(plan).places
    told = ("--teacher", models / "classifier", "--data", models / "labelled.csv", "--to", tmp_path / "three")
    assert refused("heal", smaller / "classifier", *told, "--plan", plan) == (
        f'"{smaller / "classifier"}" says itself what was taken out of it ({smaller / "classifier" / "plan.json"}). '
        "Leave --plan out."
    )


def test_cut_short_and_gone_on_with(
    run: Run, refused: Callable[..., str], models: Path, smaller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, steps = Training._step, []

    def stops(self: Training, *args: Any) -> None:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(1)
        own(self, *args)

    to = tmp_path / "healed"
    given = (run, smaller / "classifier", models / "classifier", models / "labelled.csv", to, "--save-every", 0)
    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", stops)
        said = heal(*given)
    assert said.code == 130
    assert "go on with --resume" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["healed.heal"]
    how = ("--teacher", models / "classifier", "--data", models / "labelled.csv", "--to", to)
    assert refused("heal", smaller / "classifier", *how) == (
        f"{to}.heal holds a healing already. Go on with it by --resume (resume=True), or start anew by --overwrite "
        "(overwrite=True)."
    )
    said = heal(*given, "--resume")
    assert said.code == 0, said
    assert "8 steps" in " ".join(said.out.split())
    assert [path.name for path in tmp_path.iterdir()] == ["healed"]


def test_bad_input(refused: Callable[..., str], models: Path, smaller: Path, tmp_path: Path) -> None:
    teacher, data = ("--teacher", models / "classifier"), ("--data", models / "labelled.csv")
    to = ("--to", tmp_path / "out")
    student = smaller / "classifier"
    assert "no folder" in refused("heal", tmp_path / "none", *teacher, *data, *to)
    assert "no causal language model" in refused("heal", student, *teacher, "--data", "self", *to)
    assert "is one batch" in refused("heal", student, *teacher, *data, *to)
    assert "exists already" in refused("heal", student, *teacher, *data, "--to", models / "classifier")
    assert "minutes=-1.0 heals nothing" in refused("heal", student, *teacher, *data, *to, "--minutes", -1)
    assert list(tmp_path.iterdir()) == []
