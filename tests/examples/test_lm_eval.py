"""The lm-eval example: its figure is that of a loop by hand, and a prune by it saves what scores as it said."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from identikit.functions import load_function
from identikit.results import Front

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm-eval")
EXAMPLE = Path(__file__).parents[2] / "examples" / "lm_eval"
SCORE = f"{EXAMPLE / 'score.py'}:accuracy"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No downloads, no log."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("lm") / "causal", "causal")


def loaded(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def by_hand(model: Any) -> float:
    """How often the right continuation is the likelier one: the sum of its tokens' logarithms."""
    tokenizer, hits = tiny.tokenizer(), []
    rows = [json.loads(line) for line in (EXAMPLE / "word_order.jsonl").read_text().splitlines()]
    for row in rows:
        said = []
        for end in (row["right"], row["wrong"]):
            ids = torch.tensor([tokenizer(f"{row['start']} {end}")["input_ids"]])
            first = len(tokenizer(row["start"])["input_ids"])
            with torch.no_grad():
                chances = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            picked = chances.gather(1, ids[0, 1:, None])[first - 1 :]
            said.append(float(picked.sum()))
        hits.append(said[0] > said[1])
    assert len(hits) == 12
    return sum(hits) / len(hits)


def test_the_harness_says_what_a_loop_by_hand_says(folder: Path) -> None:
    score, model = load_function(SCORE), loaded(folder)
    assert score(model) == pytest.approx(by_hand(model))
    assert 0 < by_hand(model) < 1
    with ik.bypass(model, "model.layers.0"):
        assert score(model) == pytest.approx(by_hand(model))


def test_a_prune_by_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from identikit.cli import main

    command = ["prune", str(folder), "--score", SCORE, "--drop", "1", "--to", str(tmp_path / "smaller")]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code in (0, None), capsys.readouterr().err
    front = Front.read(tmp_path / "smaller.front.json")
    singles = {}
    for number in range(4):
        model = loaded(folder)
        with ik.bypass(model, f"model.layers.{number}"):
            singles[f"model.layers.{number}"] = by_hand(model)
    assert front.metric == "accuracy"
    assert front.choice.scores["accuracy"].edited == pytest.approx(max(singles.values()))
    (place,) = front.choice.places
    assert singles[place] == max(singles.values())
    assert by_hand(loaded(tmp_path / "smaller")) == pytest.approx(singles[place])
    card = (tmp_path / "smaller" / "README.md").read_text()
    assert "| none | the score's own data |" in " ".join(card.split())
