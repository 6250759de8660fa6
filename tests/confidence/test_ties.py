"""Candidates that the data does not tell apart are ties, and hardly ever are equals told apart."""

from __future__ import annotations

import numpy as np
import pytest

from identikit.confidence.ties import ties
from identikit.errors import MetricError
from identikit.metrics import resolve
from identikit.metrics.base import Floats

Generator = np.random.Generator


def edited(means: list[float], generator: Generator, spread: float = 0.1) -> dict[str, tuple[Floats, Floats]]:
    """Rows of candidates named by number, under a full model whose score is always 1."""
    full = np.ones(200)
    return {str(place): (full, full - mean - generator.normal(0, spread, 200)) for place, mean in enumerate(means)}


def test_neighbours_are_tied_and_the_far_ones_are_not() -> None:
    """The middle one of three may be tied with both others."""
    found = ties(resolve("fidelity"), edited([0.5, 0.0, 0.02, 0.04, 1.0], np.random.default_rng(5)))
    assert found == {"0": (), "1": ("2",), "2": ("1", "3"), "3": ("2",), "4": ()}


def test_the_direction_of_the_metric_orders_the_ties() -> None:
    rows = edited([0.0, 0.001, 0.002], np.random.default_rng(0))
    forward, backward = ties(resolve("fidelity"), rows), ties(resolve("kl"), rows)
    assert forward["1"] == backward["1"][::-1]
    assert set(forward["1"]) == {"0", "2"}


@pytest.mark.parametrize("name", ["fidelity", "loss", "spearman"])
def test_equals_are_told_apart_as_seldom_as_it_says(name: str) -> None:
    wrong, repeats = 0, 60
    for seed in range(repeats):
        metric, generator = resolve(name), np.random.default_rng(seed)
        metric.draws = 200
        rows = edited([0.0] * 6, generator)
        if name == "spearman":
            target = generator.normal(size=200)
            drawn = [np.stack([target + generator.normal(0, 1, 200), target], axis=1) for _ in range(6)]
            rows = {str(place): (drawn[0], each) for place, each in enumerate(drawn)}
        if name == "loss":
            counts = generator.integers(5, 60, 200).astype(float)
            rows = {key: (np.stack([full, counts], 1), np.stack([x, counts], 1)) for key, (full, x) in rows.items()}
        wrong += any(len(others) < 5 for others in ties(metric, rows).values())
    assert wrong <= 7  # 0.05 of 60 is 3; more than 7 has probability 0.01


def test_of_a_whole_set_metric_the_far_ones_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    target = generator.normal(size=300)
    drawn = {str(noise): np.stack([target + generator.normal(0, noise, 300), target], 1) for noise in (0.5, 0.52, 4)}
    found = ties(resolve("spearman"), {name: (drawn["0.5"], each) for name, each in drawn.items()})
    assert found == {"0.5": ("0.52",), "0.52": ("0.5",), "4": ()}
    shorter = {"0.5": (drawn["0.5"], drawn["0.5"]), "4": (drawn["0.5"][:9], drawn["4"][:9])}
    with pytest.raises(MetricError, match=r'^metric "spearman" is no mean over examples: candidates of different'):
        ties(resolve("spearman"), shorter)


def test_a_candidate_that_left_early_is_compared_on_what_it_saw() -> None:
    rows = edited([0.0, 0.05, 0.5], np.random.default_rng(2))
    assert ties(resolve("fidelity"), rows)["0"] == ()
    rows["1"] = tuple(values[:20] for values in rows["1"])  # type: ignore[assignment]
    assert ties(resolve("fidelity"), rows)["0"] == ("1",)
    assert ties(resolve("fidelity"), rows, looks=12)["0"] == ("1",)


def test_nothing_to_compare() -> None:
    one = {"a": (np.ones(3), np.zeros(3))}
    assert ties(resolve("fidelity"), one) == {"a": ()}
    assert ties(resolve("fidelity"), {}) == {}
    single = {"a": (np.ones(1), np.zeros(1)), "b": (np.ones(1), np.ones(1))}
    assert ties(resolve("fidelity"), single) == {"a": ("b",), "b": ("a",)}
    two = {"a": (np.ones(2), np.zeros(2)), "b": (np.ones(2), np.ones(2))}  # one difference, seen twice: no spread yet
    assert ties(resolve("fidelity"), two) == {"a": ("b",), "b": ("a",)}
    same = {"a": (np.ones(50), np.zeros(50)), "b": (np.ones(50), np.zeros(50))}
    assert ties(resolve("fidelity"), same) == {"a": ("b",), "b": ("a",)}
