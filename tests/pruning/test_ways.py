"""Beam and span searches beside all sets by the plain loop."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import BudgetError
from identikit.metrics import resolve
from identikit.plan import Plan
from identikit.pruning.beam import Beam
from identikit.pruning.budgets import Budget
from identikit.pruning.search import Search
from identikit.pruning.space import Space
from identikit.pruning.step import Step
from identikit.results import MetricInfo, Row
from pruning.counted import left
from small_net import Net, by_hand

LAYERS = [f"layers.{number}" for number in range(4)]


def costs(model: nn.Module, data: Any, size: int, metric: str = "loss") -> dict[frozenset[str], float]:
    """The score of every set of so many layers, by hooks."""
    sets = [list(each) for each in combinations(LAYERS, size)]
    return {frozenset(each): resolve(metric).aggregate(by_hand(model, data, each, metric)[1]) for each in sets}


def pairs(data: Any) -> tuple[Net, dict[frozenset[str], float]]:
    """A network whose best pair the greedy search misses."""
    for seed in range(200):
        torch.manual_seed(seed)
        net = Net().eval()
        for value in net.parameters():
            value.data.normal_(0.0, 0.6)
        single, double = costs(net, data, 1), costs(net, data, 2)
        first = min(single, key=lambda each: single[each])
        if not first <= min(double, key=lambda each: double[each]):
            return net, double
    raise AssertionError("none of these networks is such a one")


def test_a_beam_finds_what_greedy_misses(data: Any) -> None:
    net, double = pairs(data)
    best = min(double, key=lambda each: double[each])
    greedy = ik.prune(net, data, metrics="loss", drop=2)
    beam = ik.prune(net, data, metrics="loss", drop=2, method="beam")
    assert set(greedy.front.choice.places) != best
    assert set(beam.front.choice.places) == best
    assert beam.front.choice.scores["loss"].edited == pytest.approx(double[best])
    assert len(beam.scan) == 4 + 6  # as wide as there are layers: all pairs, each once
    assert beam.front.why[0].endswith(" went: of the 6 sets of 2 layers tried, their absence cost least.")
    assert len(beam.model.layers) == 2  # type: ignore[arg-type]


def test_a_beam_of_one_is_the_greedy_search(net: Any, data: Any) -> None:
    greedy = ik.prune(net, data, metrics="loss", drop=3)
    beam = ik.prune(net, data, metrics="loss", drop=3, method="beam", beam=1)
    assert [point.places for point in beam.front.points] == [point.places for point in greedy.front.points]
    assert [row.key for row in beam.scan] == [row.key for row in greedy.scan]


def test_spans_are_runs_and_the_best_ones(net: Any, data: Any) -> None:
    pruned = ik.prune(net, data, metrics="loss", drop=3, method="span")
    for size, point in enumerate(pruned.front.points[1:], start=1):
        numbers = [LAYERS.index(place) for place in point.places]
        assert all(after == before + 1 for before, after in pairwise(numbers))
        runs = {frozenset(LAYERS[at : at + size]) for at in range(len(LAYERS) - size + 1)}
        found = {run: score for run, score in costs(net, data, size).items() if run in runs}
        assert frozenset(point.places) == min(found, key=lambda run: found[run])
    assert len(pruned.scan) == 4 + 3 + 2


@pytest.mark.parametrize("method", ["beam", "span"])
def test_a_floor_ends_them_too(method: str, counted: Any, data: Any) -> None:
    """Every layer that goes costs a quarter."""
    pruned = ik.prune(counted, data, metrics=left, keep=0.7, method=method)
    assert pruned.front.choice.dropped == 1
    assert pruned.front.why[:-1] == (
        '"layers.0" went: of the 4 layers tried, its absence cost least.',
        'It stopped there because dropping "layers.1" as well would leave left at 0.5, below the goal.',
    )


def test_what_ends_a_search_whose_sets_are_not_nested() -> None:
    rows = {"m": Row(("a",), "m", 1.0, 0.25, -0.75)}
    search = Search(Beam(Space(nn.Module(), {})), "m", MetricInfo(True, 1.0), Budget(keep=0.9), None, None)  # type: ignore[arg-type]
    found = search._why_not(Step(Plan(), ("a",)), Step(Plan(), ("b", "c"), rows))
    assert found == "the best set of 2 layers would leave m at 0.25, below the goal."


def test_runs_stay_in_their_stack(data: Any) -> None:
    class Two(Net):
        def __init__(self) -> None:
            super().__init__()
            self.more = nn.ModuleList(type(self.layers[0])() for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.more:
                x = layer(x)
            return super().forward(x)

    torch.manual_seed(0)
    pruned = ik.prune(Two().eval(), data, drop=3, method="span")
    for row in pruned.scan:
        assert len({place.split(".")[0] for place in row.places}) == 1
    with pytest.raises(BudgetError, match=r"^--drop 4 cannot be reached: 3 layers can go\. Try --drop 3\.$"):
        ik.prune(Two().eval(), data, drop=4, method="span")
