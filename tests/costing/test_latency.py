"""The median of a few passes and its interval: tables and coverage; and the time of layers by a clock set by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.costing import latency
from identikit.costing.latency import interval, median
from identikit.families.anatomy import anatomy_of


@pytest.mark.parametrize(
    ("number", "rank"), [(1, 1), (2, 1), (5, 1), (6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (100, 40)]
)
def test_the_ranks_of_the_table(number: int, rank: int) -> None:
    """At 95 %: David and Nagaraja's formula; the ranks are those of Conover's table for the sign test."""
    values = list(range(number, 0, -1))
    assert interval(values) == (rank, number + 1 - rank)
    assert median(values) == (number + 1) / 2


@pytest.mark.parametrize("number", [6, 9, 20])
def test_it_covers_the_median_of_a_crooked_distribution(number: int) -> None:
    draws = np.random.default_rng(0).exponential(size=(4000, number))
    bounds = [interval(row) for row in draws]
    assert np.mean([low <= np.log(2) <= high for low, high in bounds]) >= 0.945


def test_every_accelerator_of_the_model_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processor and no meta device; the present one too, where weights are fetched to one that none names."""
    waited: list[str] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: waited.append(str(device)))
    values = [SimpleNamespace(device=torch.device(name)) for name in ("cpu", "cuda:1", "meta", "cuda:1", "cuda:2")]
    model: Any = SimpleNamespace(parameters=lambda: values, buffers=list)
    latency.Clock(model).now()
    assert sorted(waited) == ["cuda:1", "cuda:2"]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    latency.Clock(model).now()
    assert sorted(waited[2:]) == ["cuda:0", "cuda:1", "cuda:2"]


class Wait(nn.Module):
    """Takes a known time: it sets the clock forward."""

    def __init__(self, clock: SimpleNamespace, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.now += self.seconds * self.clock.pace
        return x + 1


class Waits(nn.Module):
    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__()
        self.once = Wait(clock, 1.0)
        self.twice = Wait(clock, 2.0)
        self.around = nn.Sequential(Wait(clock, 4.0), Wait(clock, 1.0))
        self.never = Wait(clock, 100.0)
        self.clock = clock

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.passes += 1
        self.clock.pace = next(self.clock.paces)
        return self.around(self.twice(self.once(self.twice(x))))


def test_medians_intervals_and_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass, which is slow, counts for nothing; of the six after it the median, the least and the most."""
    clock = SimpleNamespace(now=0.0, pace=1.0, passes=0, paces=iter([1.0] * 100))
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    model = Waits(clock)
    anatomy = anatomy_of(model, torch.randn(2, 3))
    clock.passes, clock.paces = 0, iter([50.0, 1.0, 3.0, 1.0, 2.0, 9.0, 2.0])
    paths = ["once", "twice", "around", "around.0", "never"]
    found = latency.latencies(anatomy, {path: model.get_submodule(path) for path in paths})
    assert clock.passes == 7
    assert {path: each.seconds for path, each in found.items()} == {
        "twice": 8.0,
        "once": 2.0,
        "around": 10.0,
        "around.0": 8.0,
    }
    assert (found["once"].low, found["once"].high) == (1.0, 9.0)
    assert {path: each.share for path, each in found.items()} == {
        "twice": 0.4,
        "once": 0.1,
        "around": 0.5,
        "around.0": 0.4,
    }
