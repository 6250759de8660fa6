"""Races: the same choice from fewer examples, the same every time; data without a spread settles nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from identikit.confidence.effect import costs
from identikit.confidence.race import FIRST, Race
from identikit.errors import MetricError
from identikit.metrics import resolve
from identikit.metrics.base import Floats

Generator = np.random.Generator
MEANS = 0.01 * np.arange(1, 25)[:, None]  # of 24 layers


def run(
    costs_ce: Floats, *, least: int | None, known: bool = True, batch: int = 1, confidence: float = 0.95
) -> tuple[Race, dict[str, Floats]]:
    """The race over `costs_ce` [candidates, examples] in batches; the costs that each candidate was given."""
    names = [f"layer.{number}" for number in range(len(costs_ce))]
    total, count = costs_ce.shape[1], 0
    race = Race(names, confidence=confidence, least=least, examples=total if known else None)
    seen: dict[str, Floats] = {}
    while race.open and count < total:
        count = min(total, -(-(race.due or total) // batch) * batch)
        seen |= {name: costs_ce[names.index(name), :count] for name in race.open}
        race.look(seen)
    return race, seen


def share(seen: dict[str, Floats], total: int) -> float:
    return sum(map(len, seen.values())) / (len(seen) * total)


def cheapest(costs_ce: Floats, least: int) -> set[str]:
    return {f"layer.{number}" for number in np.argsort(costs_ce.mean(axis=1), kind="stable")[:least]}


def planted(generator: Generator) -> Floats:
    return MEANS + generator.normal(0, 0.1, (24, 4096))


def shared_difficulty(generator: Generator) -> Floats:
    """Examples are hard or easy for all layers alike: means over different examples do not compare."""
    return planted(generator) + generator.normal(0, 0.3, 4096)


def skewed(generator: Generator) -> Floats:
    return np.asarray(MEANS * generator.lognormal(0, 1.5, (24, 4096)) / np.exp(1.125))


def right_or_wrong(generator: Generator) -> Floats:
    return (generator.random((24, 4096)) < MEANS).astype(float)


def alike(generator: Generator) -> Floats:
    """No layer is better than another, so that each statement of the race may be wrong."""
    return generator.normal(0, 0.1, (24, 1024))


@pytest.mark.parametrize(
    ("draw", "known", "batch", "most"),
    [
        (planted, True, 1, 0.09),
        (planted, True, 64, 0.10),
        (planted, False, 1, 0.14),
        (shared_difficulty, True, 1, 0.09),
        (skewed, True, 1, 0.17),
        (right_or_wrong, True, 1, 0.22),
    ],
)
def test_the_same_choice_from_fewer_examples(
    draw: Callable[[Generator], Floats], known: bool, batch: int, most: float
) -> None:
    """The goal of the scan: at most 0.5 of the examples, the choice of all of them in 19 of 20 seeds."""
    same, shares = 0, []
    for seed in range(20):
        costs_ce = draw(np.random.default_rng(seed))
        race, seen = run(costs_ce, least=3, known=known, batch=batch)
        same += set(race.order(seen)[:3]) == cheapest(costs_ce, 3)
        shares.append(share(seen, costs_ce.shape[1]))
    assert same >= 19
    assert np.mean(shares) < most


def test_statements_hold_as_often_as_they_say() -> None:
    """Where all are alike whoever is settled on the wrong side is an error of the race: at most 1 in 20 of them."""
    wrong = 0
    for seed in range(200):
        costs_ce = alike(np.random.default_rng(seed))[:6]
        race, _ = run(costs_ce, least=2, confidence=0.9)
        best = cheapest(costs_ce, 2)
        wrong += any((left.side == "in") != (name in best) for name, left in race.settled.items())
    assert wrong <= 20


def test_the_whole_ranking() -> None:
    costs_ce = 0.1 * np.arange(6)[::-1, None] + np.random.default_rng(0).normal(0, 0.1, (6, 4096))
    race, seen = run(costs_ce, least=None)
    assert race.order(seen) == tuple(f"layer.{number}" for number in reversed(range(6)))
    assert {left.side for left in race.settled.values()} == {"placed"}
    assert share(seen, 4096) < 0.05


def test_a_tie_keeps_its_candidates_in_the_race_to_the_end() -> None:
    means = np.array([0.0, 0.1, 0.1, 0.5])[:, None]
    race, seen = run(means + np.random.default_rng(1).normal(0, 0.1, (4, 1000)), least=2)
    assert race.open == ("layer.1", "layer.2")
    assert [left.side for left in race.settled.values()] == ["in", "out"]
    assert race.order(seen)[0] == "layer.0"
    assert race.order(seen)[-1] == "layer.3"


@pytest.mark.parametrize("least", [1, 3, None])
def test_data_without_a_spread_settles_nothing(least: int | None) -> None:
    """All zeros so far, and after that a hundred times as many: nobody may leave."""
    race, _ = run(np.zeros((6, 3200)), least=least)
    assert race.settled == {}


def test_a_rare_cost_is_not_taken_for_none() -> None:
    """Layers that fail on 1 or 2 of 100 examples: the first 32 often show no failure at all."""
    wrong = 0
    for seed in range(100):
        costs_ce = (np.random.default_rng(seed).random((4, 2048)) < 0.01 * np.array([[1], [1], [1], [2]])).astype(float)
        race, _ = run(costs_ce, least=1)
        wrong += any((left.side == "in") != (name in cheapest(costs_ce, 1)) for name, left in race.settled.items())
    assert wrong <= 5


def test_yes_and_no_are_not_told_apart_sooner_than_by_counting() -> None:
    """Nine of 32 differ, all one way: by chance 1 in 512; the first look may err once in 1,000. Student's t is 3.48."""
    race = Race(["a", "b"], confidence=0.998, least=1)
    some = np.concatenate([np.ones(9), np.zeros(23)])
    assert race.look({"a": np.zeros(32), "b": some}) == ()
    race = Race(["a", "b"], confidence=0.9, least=1)
    assert race.look({"a": np.zeros(32), "b": some}) == ("a", "b")


def test_the_same_costs_give_the_same_race() -> None:
    costs_ce = planted(np.random.default_rng(3))
    first, second = (run(costs_ce, least=3)[0].settled for _ in range(2))
    assert first == second


def test_a_look_that_is_not_due_settles_nothing() -> None:
    names = ["a", "b"]
    race = Race(names, confidence=0.95, least=1, examples=100)
    assert race.due == FIRST
    far = {"a": np.zeros(31), "b": np.ones(31) + np.random.default_rng(0).normal(0, 0.01, 31)}
    assert race.look(far) == ()
    more = {name: np.concatenate([values, values]) for name, values in far.items()}
    assert race.look(more) == ("a", "b")
    assert race.open == ()
    assert Race([], confidence=0.95).due is None
    assert race.settled["a"] == ("in", 62, 1)
    whole = Race(names, confidence=0.95, least=1, examples=31)
    assert whole.due is None
    assert whole.look(far) == ()
    assert whole.looks == 2


@pytest.mark.parametrize("known", [True, False])
def test_the_levels_of_all_looks_spend_the_error_once(known: bool) -> None:
    race, _ = run(planted(np.random.default_rng(0)), least=3, known=known, confidence=0.9)
    spent = {left.look: 1 - race.level(name) for name, left in race.settled.items()}
    assert 0 < sum(spent.values()) <= 0.05
    still_open = Race(["a", "b"], confidence=0.9)
    assert still_open.level("a") == pytest.approx(0.95)


def test_where_there_is_nothing_to_decide_the_first_look_settles_all() -> None:
    costs = {name: np.random.default_rng(0).normal(size=FIRST) for name in ("a", "b")}
    assert Race(["a", "b"], confidence=0.95, least=2).look(costs) == ("a", "b")
    assert Race(["a"], confidence=0.95).look({"a": costs["a"]}) == ("a",)
    assert Race([], confidence=0.95).look({}) == ()


def test_what_cannot_race_is_refused() -> None:
    race = Race(["a", "b"], confidence=0.95)
    for given in ({"a": np.zeros(32)}, {"a": np.zeros(32), "b": np.zeros(33)}):
        with pytest.raises(MetricError, match=r"^a race needs one cost for each example of each open candidate"):
            race.look(given)
    with pytest.raises(MetricError, match=r"^without b the cost of an example is not finite; it cannot be compared\.$"):
        race.look({"a": np.zeros(32), "b": np.full(32, np.inf)})
    with pytest.raises(MetricError, match="different names"):
        Race(["a", "a"], confidence=0.9)
    with pytest.raises(MetricError, match=r"lies between 0 and 1, such as 0\.95; found 1\.0"):
        Race(["a"], confidence=1.0)
    with pytest.raises(MetricError, match="needs one at least; found 0"):
        Race(["a"], confidence=0.9, least=0)


def test_the_cost_of_each_example() -> None:
    full, edited = np.array([0.9, 0.5]), np.array([0.4, 0.75])
    assert costs(resolve("fidelity"), full, edited) == pytest.approx([0.5, -0.25])
    assert costs(resolve("kl"), full, edited) == pytest.approx([-0.5, 0.25])
    pairs = np.stack([full, edited], axis=1)
    with pytest.raises(MetricError) as caught:
        costs(resolve("spearman"), pairs, pairs)
    assert str(caught.value) == (
        'metric "spearman" is no mean over examples, so no example has a cost of its own and candidates cannot race. '
        "Race by another metric (fidelity, kl, accuracy), or leave --confidence away."
    )
