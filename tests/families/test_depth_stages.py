"""Stages: lists with an entry for each, which again has one for each layer; stages in one row; a model inside."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import identikit as ik
from identikit.families.transformers_flat import flat_counts
from identikit.families.transformers_stages import facts_of_stage
from wide import build


def test_the_facts_of_one_stage_change_together() -> None:
    config = SimpleNamespace(depths=[2, 3, 3], strides=[[1, 2], [3, 4, 5], [6, 7, 8]], widths=[4, 5, 6], names="abc")
    one = {"depths": [2, 2, 3], "strides": [[1, 2], [3, 5], [6, 7, 8]]}
    other = {"depths": [2, 3, 2], "strides": [[1, 2], [3, 4, 5], [6, 8]]}
    assert list(facts_of_stage(config, [0, 2], 3)) == [one, other]
    assert list(facts_of_stage(config, [0, 2, 3], 4)) == []


def test_the_counts_of_stages_in_a_row() -> None:
    config = SimpleNamespace(repeats=[1, 2, 3], widths=(2, 2, 2), empty=[], kinds=["a", "b"], flags=[True] * 6)
    assert list(flat_counts(config, [0, 2, 3, 4, 5], 6)) == [("repeats", [1, 1, 3]), ("widths", (1, 2, 2))]
    assert list(flat_counts(config, [1, 2, 3, 4, 5], 6)) == [("widths", (1, 2, 2))], "no stage of no layer"
    assert list(flat_counts(config, [0, 1, 1, 2, 3, 4, 5], 6)) == [("repeats", [1, 3, 3]), ("widths", (3, 2, 2))]


@pytest.mark.parametrize(
    ("kind", "place", "said"),
    [
        ("textnet", "textnet.encoder.stages.1.stage.2", {"depths": [3, 3, 4, 4]}),
        ("efficientnet", "efficientnet.encoder.blocks.9", {"num_block_repeats": [1, 2, 2, 3, 2, 4, 1]}),
        ("timm_wrapper", "timm_model.layer2.1", {"model_args": {"layers": [3, 3, 6, 3]}}),
    ],
)
def test_checkpoints_of_models_with_stages(kind: str, place: str, said: dict[str, Any], tmp_path: Path) -> None:
    model, batch = build("image-classification", kind)
    config: Any = model.config
    before = config.to_dict()
    ik.bypass(model, place, inputs=batch).undo()
    assert config.to_dict() == before
    ik.remove(model, place, inputs=batch)
    now = json.loads(config.to_json_string(use_diff=False))
    assert {name: now[name] for name in said} == said
    ik.save(model, tmp_path / "x", inputs=batch)  # loads it again with the library, and compares
