"""A model whose weights accelerate keeps elsewhere is scanned as the plain one: the same rows, by every engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import identikit as ik
import tiny
from crews.farther import facts, near
from practice.test_offload import HOW, offloaded


def batches() -> list[dict[str, torch.Tensor]]:
    ids = torch.cat([tiny.IDS, tiny.IDS.flip(1), tiny.IDS.roll(1, 1)])
    return [{"input_ids": part, "labels": part} for part in ids.split(2)]


@pytest.mark.parametrize("engine", ["suffix", "chain", "loop"])
@pytest.mark.parametrize("how", HOW)
def test_rows_are_those_of_the_plain_model(how: str, engine: str, tmp_path: Path) -> None:
    model = offloaded(how, tmp_path)
    assert any(value.is_meta for value in model.parameters())
    asked = {"metrics": ["fidelity", "loss"], "engine": engine, "costs": False}
    result = ik.scan(model, batches(), **asked)
    plain = facts(ik.scan(tiny.model("causal"), batches(), **asked))
    assert near(facts(result), plain, 1e-5) if engine == "chain" else facts(result) == plain
    assert {row.engine for row in result} == {engine}
    assert any(value.is_meta for value in model.parameters())
