"""Budgets of FLOPs and of speed: what is counted, when they are reached, what is said where they are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import BudgetError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.plan import Plan
from identikit.pruning import amounts
from identikit.surgery.choose import plan_for
from small_net import WIDTH


def test_flops(net: Any, data: Any) -> None:
    """Four equal blocks, and a head of half the size: with one of them gone 78 % are left, with two 56 %."""
    pruned = ik.prune(net, data, flops=0.7)
    assert pruned.front.choice.dropped == 2
    assert pruned.front.goal == "at most 70 % of the FLOPs"
    says = refused(net, data, flops=0.1)
    assert says.startswith("--flops 0.1 cannot be reached: without all 3 layers that can go, ")
    left = float(says.rpartition(" ")[2].rstrip("."))
    assert ik.prune(net, data, flops=left).front.choice.dropped == 3


def refused(net: Any, data: Any, **how: Any) -> str:
    with pytest.raises(BudgetError) as caught:
        ik.prune(net, data, **how)
    return str(caught.value)


class Fused(nn.Module):
    """A kernel whose products torch does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.cells(x.reshape(1, -1, WIDTH))[0].reshape(x.shape)


def test_flops_that_are_not_known(net: Any, data: Any) -> None:
    net.layers.insert(1, Fused())
    assert refused(net, data, flops=0.5) == (
        "--flops needs the FLOPs of every operation, and torch's counter does not know all of this model's. "
        "Use --params or --speedup."
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass takes a second for each layer that runs, and one more."""

    def seconds(anatomy: Anatomy) -> float:
        ran = [layer for layer in anatomy.model.layers if "forward" not in vars(layer)]  # type: ignore[union-attr]
        return 1.0 + len(ran)

    monkeypatch.setattr(amounts, "pass_seconds", seconds)


@pytest.mark.usefixtures("clock")
def test_speedup(net: Any, data: Any) -> None:
    pruned = ik.prune(net, data, speedup=1.6)
    assert pruned.front.choice.dropped == 2  # 5 / 3; one fewer: 5 / 4
    assert pruned.front.goal == "a pass 1.6 times as fast"
    assert [point.latency for point in pruned.front.points] == [5.0, 4.0, 3.0]
    assert refused(net, data, speedup=4) == (
        "--speedup 4 cannot be reached: without all 3 layers that can go, a pass is 2.50 times as fast. "
        "Try --speedup 2.5."
    )


def test_passes_are_timed_in_turn_under_each_plan(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass of each warms up; of the others the fastest counts."""
    anatomy, seen = anatomy_of(net, data[0][0]), list[int]()
    plan = plan_for(anatomy, ["layers.1"])
    seconds = iter([9.0, 9.0, 3.0, 2.0, 4.0, 1.0])

    def timed(anatomy: Anatomy) -> float:
        seen.append(sum("forward" in vars(layer) for layer in anatomy.model.layers))  # type: ignore[union-attr]
        return next(seconds)

    own = amounts.pass_times(anatomy, [Plan(), plan], passes=1)
    assert all(value > 0 for value in own)
    monkeypatch.setattr(amounts, "pass_seconds", timed)
    assert amounts.pass_times(anatomy, [Plan(), plan], passes=2) == [3.0, 1.0]
    assert seen == [0, 1] * 3
    assert not any("forward" in vars(layer) for layer in net.layers)
