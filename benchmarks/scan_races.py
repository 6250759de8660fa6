"""Races: how many of the examples they take for the same choice (benchmarks/scan.py): planted effects, and MiniLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scan_cases import minilm
from scan_ways import scanned

from identikit.confidence.race import Race

_SEEDS, _LAYERS, _EXAMPLES, _LEAST = 20, 24, 4096, 3
_GOAL = {"share": 0.5, "same_choice_of_20": 19}


def races(data: Path | None) -> dict[str, Any]:
    """Layer k costs 0.01 k with a deviation of 0.1 an example; the three least of 24 are looked for."""
    planted = [_planted(seed) for seed in range(_SEEDS)]
    found: dict[str, Any] = {"goal": _GOAL, "planted": _summary(planted)}
    if data is not None:
        found["MiniLM"] = _summary([_minilm(data, seed) for seed in range(_SEEDS)])
    return found


def _planted(seed: int) -> tuple[bool, float]:
    """Whether the choice is that of all examples, and the share of them that was seen."""
    drawn = np.random.default_rng(seed).normal(0.01 * np.arange(1, _LAYERS + 1)[:, None], 0.1, (_LAYERS, _EXAMPLES))
    costs = {f"layer {number}": row for number, row in enumerate(drawn, start=1)}
    race = Race(list(costs), confidence=0.95, least=_LEAST, examples=_EXAMPLES)
    while race.due is not None:
        count = race.due
        race.look({name: costs[name][:count] for name in race.open})
    seen = {name: costs[name][: race.settled[name].examples] if name in race.settled else costs[name] for name in costs}
    truth = sorted(costs, key=lambda name: float(np.mean(costs[name])))[:_LEAST]
    share = sum(map(len, seen.values())) / (_LAYERS * _EXAMPLES)
    return set(race.order(seen)[:_LEAST]) == set(truth), share


def _minilm(data: Path, seed: int) -> tuple[bool, float]:
    """The three least of MiniLM's six layers on 2,048 sentences of STS-B, in an order of the seed's."""
    case, _ = _case(data)
    truth = [row.place for row in _whole(data).ranked()[:_LEAST]]
    raced = scanned(case, confidence=0.95, least=_LEAST, seed=seed)
    share = sum(row.examples for row in raced) / (len(case.layers) * case.examples)
    return {row.place for row in raced.ranked()[:_LEAST]} == set(truth), share


_MADE: dict[str, Any] = {}  # the model and its scan over all sentences, made once


def _case(data: Path) -> Any:
    if "case" not in _MADE:
        _MADE["case"] = minilm(data, sentences=2048)
    return _MADE["case"]


def _whole(data: Path) -> Any:
    if "whole" not in _MADE:
        _MADE["whole"] = scanned(_case(data)[0])
    return _MADE["whole"]


def _summary(lines: list[tuple[bool, float]]) -> dict[str, Any]:
    shares = [share for _, share in lines]
    return {
        "seeds": len(lines),
        "same_choice": sum(same for same, _ in lines),
        "share_of_the_examples": {"mean": round(float(np.mean(shares)), 3), "most": round(max(shares), 3)},
    }
