"""The example of a LLaMA: fewer layers, the perplexity between, and it writes the same with a cache and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.conftest import Run

ROW = r"^   {} +([\d,]+) +([\d.]+)$"


def perplexity(said: str, name: str) -> float:
    ((_, figure),) = re.findall(ROW.format(name), said, re.MULTILINE)
    return float(figure)


def check(said: str, folder: Path, layers: int, drop: int) -> None:
    from transformers import AutoModelForCausalLM

    again = AutoModelForCausalLM.from_pretrained(folder / "smaller-llama")
    assert len(again.model.layers) == again.config.num_hidden_layers == layers - drop
    assert f"1. A LLaMA of {layers} layers" in said
    names = ("full", "layers dropped", "folded", "and healed")
    full, dropped, folded, healed = (perplexity(said, name) for name in names)
    assert max(full, folded) < 1.02 * dropped  # trained for a second, a layer more hardly tells
    assert healed <= folded + 0.01  # by the distance from the full model; never worse than it was
    assert f"loaded by transformers alone: perplexity {healed:.2f}" in said
    (apart,) = re.findall(r"logits differ by at most (\S+)$", said, re.MULTILINE)
    assert float(apart) < 1e-3
    assert "the same 40 tokens are written: True" in said


def test_it_is_pruned_healed_and_writes(run: Run, tmp_path: Path) -> None:
    check(run("llama_pruned_and_healed", "--quick", "--drop", "1"), tmp_path, layers=6, drop=1)


@pytest.mark.long
def test_on_a_trained_one(run: Run, tmp_path: Path, data: str) -> None:
    said = run("llama_pruned_and_healed", "--quick", "--data", data)
    check(said, tmp_path, layers=8, drop=3)
    assert perplexity(said, "full") < 4.6
    assert perplexity(said, "full") < perplexity(said, "folded") < perplexity(said, "layers dropped")
