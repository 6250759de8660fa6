"""`identikit scan`: the cheap scores, groups of layers and what stands for a layer, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cli.conftest import Run


def rows(run: Run, models: Path, *options: Any) -> list[dict[str, Any]]:
    said = run("scan", models / "causal", "--data", models / "text.txt", "--no-costs", "--json", *options)
    assert said.code == 0, said.err
    return list(json.loads(said.out)["rows"])


def test_a_cheap_score(run: Run, models: Path) -> None:
    found = rows(run, models, "--method", "taylor", "--metric", "loss", "--at", "model.layers.*.mlp")
    assert [(row["metric"], row["engine"]) for row in found] == [("taylor", "taylor")] * 4


def test_both_and_how_they_agree(run: Run, models: Path) -> None:
    said = run("scan", models / "causal", "--data", models / "text.txt", "--no-costs", "--method", "auto")
    assert "influence of each layer, without leaving it out" in said.out
    assert "influence agrees with fidelity: Spearman" in " ".join(said.out.split())


def test_groups_of_layers(run: Run, models: Path) -> None:
    assert [len(row["places"]) for row in rows(run, models, "--span", 3)] == [3, 3]
    assert [len(row["places"]) for row in rows(run, models, "--by", "type", "--at", "model.layers.[1:3]")] == [2]
    said = run("scan", models / "causal", "--data", models / "text.txt", "--span", 2, "--by", "type")
    assert said.code == 2
    assert 'span=2 and by="type" are two ways to group layers' in said.err


def test_what_stands_for_a_layer(run: Run, models: Path) -> None:
    found = rows(run, models, "--as", "mean", "--at", "model.layers.1")
    assert found[0]["plan"]["edits"][0]["op"] == "mean"


def test_refusals(run: Run, models: Path) -> None:
    said = run("scan", models / "causal", "--data", models / "text.txt", "--batch-memory", "much")
    assert said.code == 2
    assert "--batch-memory" in said.err
    said = run("scan", models / "causal", "--data", models / "text.txt", "--method", "angular", "--at", "model.norm")
    assert said.code == 2
    assert "\n" not in said.err.strip()
