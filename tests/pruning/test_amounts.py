"""Budgets of FLOPs, speed and memory: what is counted, when they are reached, what is said where they are not."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import BudgetError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.plan import Plan
from identikit.pruning import amounts, times
from identikit.pruning.budgets import Budget
from identikit.pruning.space import Space
from identikit.pruning.step import Step
from identikit.results import Front
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
    """A pass takes a second for each layer that runs, and one more; the machine is slower from pass to pass."""
    calls = count()

    def seconds(anatomy: Anatomy) -> float:
        ran = [layer for layer in anatomy.model.layers if "forward" not in vars(layer)]  # type: ignore[union-attr]
        return (1.0 + len(ran)) * 1.0001 ** next(calls)

    monkeypatch.setattr(times, "pass_seconds", seconds)


@pytest.mark.usefixtures("clock")
def test_speedup(net: Any, data: Any) -> None:
    pruned = ik.prune(net, data, speedup=1.6)
    assert pruned.front.choice.dropped == 2  # 5 / 3; one fewer: 5 / 4
    assert pruned.front.goal == "a pass 1.6 times as fast"
    assert (
        "It stopped there because the goal is reached: a pass is 1.67 times as fast, and 1.25 times with one layer "
        "fewer gone."
    ) in pruned.front.why
    seconds = [point.latency for point in pruned.front.points]
    assert [each / seconds[-1] for each in seconds] == pytest.approx([5 / 3, 4 / 3, 1], rel=1e-3)  # type: ignore[operator]
    for point in pruned.front.points:
        assert point.latency_low is not None
        assert point.latency_high is not None
        assert point.latency is not None
        assert point.latency_low < point.latency < point.latency_high
    assert refused(net, data, speedup=4) == (
        "--speedup 4 cannot be reached: without all 3 layers that can go, a pass is 2.50 times as fast. "
        "Try --speedup 2.5."
    )


def test_passes_are_timed_in_turn_under_each_plan(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass of each warms up; every second round goes backwards."""
    anatomy, seen = anatomy_of(net, data[0][0]), list[int]()
    plan = plan_for(anatomy, ["layers.1"])
    assert all(value > 0 for taken in times.pass_times(anatomy, [Plan(), plan], rounds=1) for value in taken)
    seconds = iter([9.0, 9.0, 3.0, 2.0, 4.0, 1.0])

    def timed(anatomy: Anatomy) -> float:
        seen.append(sum("forward" in vars(layer) for layer in anatomy.model.layers))  # type: ignore[union-attr]
        return next(seconds)

    monkeypatch.setattr(times, "pass_seconds", timed)
    assert times.pass_times(anatomy, [Plan(), plan], rounds=2) == [[2.0, 4.0], [3.0, 1.0]]
    assert seen == [0, 1, 1, 0, 0, 1]
    assert not any("forward" in vars(layer) for layer in net.layers)


def test_what_slows_the_machine_slows_both(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds that take ten times as long, and one pass that was disturbed alone: the ratio is what it was."""
    anatomy = anatomy_of(net, data[0][0])
    calls = count()

    def timed(anatomy: Anatomy) -> float:
        call = next(calls)
        slower = 10.0 if call // 2 % 3 == 0 else 1.0
        gone = sum("forward" in vars(layer) for layer in anatomy.model.layers)  # type: ignore[union-attr]
        return slower * (4.0 - gone) * (7.0 if call == 9 else 1.0)

    monkeypatch.setattr(times, "pass_seconds", timed)
    found = times.pass_times(anatomy, [Plan(), plan_for(anatomy, ["layers.1"])])
    assert times.times_as_fast(found) == pytest.approx([4 / 3])


@pytest.mark.parametrize(
    ("speeds", "taken"),
    [
        ([1.25, 1.67], (2, "reached: a pass is 1.67 times as fast, and 1.25 times with one layer fewer gone.")),
        ([1.61, 1.9], (1, "reached: a pass is 1.61 times as fast.")),  # the smaller set reaches it too
        ([1.57, 1.9], (1, "all but reached: a pass is 1.57 times as fast.")),  # or all but does
        ([1.25, 1.57], (2, "all but reached: a pass is 1.57 times as fast, and 1.25 times with one layer fewer gone.")),
        ([1.25, 1.55], None),  # it was luck: too far below what was asked
        ([1.6], (1, "reached: a pass is 1.60 times as fast.")),
    ],
)  # fmt: skip
def test_a_speed_is_measured_once_more(
    speeds: list[float], taken: Any, net: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [[1.0], *([1 / speed] for speed in speeds)]
    monkeypatch.setattr(amounts, "pass_times", lambda anatomy, plans, rounds: seconds)
    found = amounts.Amounts(anatomy_of(net, data[0][0]), Space(net, {}), Budget(speedup=1.6))
    settled = found.settled([Step(Plan())] * (len(speeds) + 1))
    assert settled == (taken and (taken[0], f"the goal is {taken[1]}"))


@pytest.mark.parametrize(("first", "tried"), [({1: 1.7}, 2), ({2: 1.5}, 3)])
def test_a_measurement_that_misleads_the_search_is_corrected(
    first: dict[int, float], tried: int, net: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too fast by chance: the search goes on; too slow: it comes back to the set that is fast enough."""
    real = {0: 1.0, 1: 1.25, 2: 5 / 3, 3: 2.5}
    monkeypatch.setattr(amounts.Amounts, "of", lambda self, step: {**real, **first}[len(step.gone)])
    monkeypatch.setattr(amounts, "pass_times", lambda anatomy, plans, rounds: [[1 / real[len(plan)]] for plan in plans])
    front = ik.prune(net, data, speedup=1.6).front
    assert front.chosen == 2
    assert len(front.points) == tried + 1
    assert [point.latency for point in front.points] == [1 / real[gone] for gone in range(tried + 1)]


def test_a_speed_that_luck_alone_reaches(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error never advises what was asked for."""
    monkeypatch.setattr(amounts.Amounts, "of", lambda self, step: 1.62)
    monkeypatch.setattr(amounts, "pass_times", lambda anatomy, plans, rounds: [[1.0]] + [[0.7]] * (len(plans) - 1))
    assert refused(net, data, speedup=1.6) == (
        "--speedup 1.6 was not reached: after 3 layers no further one can go, and a pass is 1.62 times as fast. "
        "Try --speedup 1.55."
    )


def needed(front: Front) -> list[int]:
    return [point.memory or 0 for point in front.points]


def test_memory(net: Any, data: Any) -> None:
    """Weights and activations of a pass over the first batch; exactly as much is enough, a byte less is not."""
    full = ik.prune(net, data, drop=3).front
    needs = needed(full)
    weights = 4 * sum(value.numel() for value in net.parameters())
    own = 4 * sum(value.numel() for value in net.layers[0].parameters())
    activations = {need - weights + own * gone for gone, need in enumerate(needs)}
    assert min(activations) >= 2 * 5 * WIDTH * 4  # five rows in, five out
    for size in (needs[2], str(needs[2])):
        pruned = ik.prune(net, data, memory=size)
        assert pruned.front.choice.dropped == 2
    assert ik.prune(net, data, memory=needs[2] - 1).front.choice.dropped == 3
    pruned = ik.prune(net, data, memory=f"{needs[1] / 1000}kB")
    assert (pruned.front.choice.dropped, pruned.front.goal) == (1, f"a pass needs at most {needs[1]}B of memory")


def test_memory_that_is_too_little_or_too_much(net: Any, data: Any) -> None:
    needs = needed(ik.prune(net, data, drop=3).front)
    nearest = f"{-(-needs[3] // 10 ** (len(str(needs[3])) - 3)) * 10 ** (len(str(needs[3])) - 3)}"
    nearest = f"{nearest}B" if len(nearest) < 4 else f"{int(nearest) / 1000:g}kB"
    assert refused(net, data, memory=100) == (
        f"--memory 100B cannot be reached: without all 3 layers that can go, a pass needs {nearest}. "
        f"Try --memory {nearest}."
    )
    assert ik.prune(net, data, memory=nearest).front.choice.dropped == 3
    assert refused(net, data, memory="2GB").startswith("--memory 2GB: the full model needs ")
    assert refused(net, data, memory="2GB").endswith("kB, so no layer has to go.")
    assert refused(net, data, memory="plenty") == (
        'memory (--memory)=\'plenty\' is no size in bytes. Write a number, or "2GB", "512MB", "1.5GiB".'
    )


def test_memory_where_activations_cannot_be_counted(net: Any, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amounts, "activation_bytes", lambda anatomy: None)
    front = ik.prune(net, data, drop=1).front
    assert needed(front) == [4 * point.parameters for point in front.points]
    assert "The memory is that of the weights: what a pass holds beside them could not be counted." in front.why
