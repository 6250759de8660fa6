"""The detection example: average precision as the books have it, and a prune by it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from identikit.functions import load_function

EXAMPLE = Path(__file__).parents[2] / "examples" / "detection"
SCORE = f"{EXAMPLE / 'score.py'}:mean_average_precision"
BOXES = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10]])


@pytest.fixture(scope="module")
def model() -> Any:
    """The detector, trained once."""
    with torch.random.fork_rng():
        return load_function(f"{EXAMPLE / 'detector.py'}:net")()


def precision(scores: list[float], moved: list[float], truth: int = 3) -> float:
    """Of `truth` objects, one box for each of the first ones, so many pixels beside it and so sure."""
    average = vars(sys.modules[load_function(SCORE).__module__])["average_precision"]
    shift = torch.tensor(moved)[:, None] * torch.tensor([1.0, 0, 1, 0])
    boxes = BOXES[: len(scores)] + shift
    classes = torch.zeros(len(scores), dtype=torch.long)
    found = [(boxes, torch.tensor(scores), classes)]
    value: float = average(found, [(BOXES[:truth], torch.zeros(truth, dtype=torch.long))], 0)
    return value


def test_average_precision() -> None:
    """By hand: 101 recalls from 0 to 1; a third of the objects are found at the recalls up to 33 of 100."""
    assert precision([0.9, 0.8, 0.7], [0, 0, 0]) == pytest.approx(1.0)
    assert precision([], []) == 0.0
    assert precision([0.9], [0]) == pytest.approx(34 / 101)
    assert precision([0.9, 0.8, 0.7], [0, 9, 0]) == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)  # the second missed
    assert precision([0.7, 0.8, 0.9], [0, 9, 9]) == pytest.approx(34 * (1 / 3) / 101)  # the surest two missed
    assert precision([0.9, 0.8, 0.7], [0, 3, 4]) == pytest.approx(67 / 101)  # 7/13 overlaps enough, 6/14 does not


def test_an_object_is_found_once_and_by_its_class() -> None:
    average = vars(sys.modules[load_function(SCORE).__module__])["average_precision"]
    twice = [(BOXES[[0, 0]], torch.tensor([0.9, 0.8]), torch.tensor([0, 0]))]
    truth = [(BOXES[:2], torch.tensor([0, 0]))]
    assert average(twice, truth, 0) == pytest.approx(51 / 101)
    assert average(twice, [(BOXES[:2], torch.tensor([1, 0]))], 0) == 0.0


def test_a_prune_by_it(model: Any, tmp_path: Path) -> None:
    detector = sys.modules[load_function(f"{EXAMPLE / 'detector.py'}:net").__module__]
    score, example = load_function(SCORE), detector.batches()
    full = score(model)
    assert full > 0.9
    pruned = ik.prune(model, example, score=SCORE, metrics=["fidelity"], drop=1)
    singles = {}
    for number in range(4):
        with ik.bypass(model, f"blocks.{number}", inputs=example[0]):
            singles[f"blocks.{number}"] = score(model)
    assert len(set(singles.values())) > 1
    (place,) = pruned.plan.places
    assert singles[place] == max(singles.values())
    assert pruned.front.metric == "mean_average_precision"
    assert pruned.front.full.scores["mean_average_precision"].edited == full
    ik.save(pruned.model, tmp_path / "x", inputs=example[0])
    again = ik.load(tmp_path / "x", detector.Detector())
    assert score(again) == pytest.approx(singles[place])
    card = (tmp_path / "x" / "README.md").read_text()
    assert "mean_average_precision (higher is better)" in card.replace("\\_", "_")
    assert "the score's own data" in card
