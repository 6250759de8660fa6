"""Batches that take another way than those the engine was proved on: found out as they come, never wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from identikit.batches import Batch
from identikit.families.anatomy import anatomy_of
from identikit.replaying.skeleton import Skeleton
from replaying import odd
from replaying.held import compared, engine_of, outputs, plans_of

PLACES: list[str | tuple[str, ...]] = [f"layers.{number}" for number in range(odd.DEPTH)]
BIG = 50.0


class Widening(odd.Block):
    """Adds a row for a large value, as a detector adds proposals: no stack of branches has the sizes of its members."""

    def forward(self, x: odd.T) -> odd.T:
        x = super().forward(x)
        return torch.cat([x, x[:1]]) if x.abs().max() > BIG else x


class Widens(odd.Net):
    block = Widening


class Refuses(odd.Net):
    """Some batches are looked at on the way: where three layers in a row left one as it was, it is an error."""

    def stack(self, x: odd.T) -> odd.T:
        looked, began = bool(x[0, 0, 0] > BIG), x
        for number, layer in enumerate(self.layers):
            if looked and number == 3 and torch.equal(began, x):
                raise RuntimeError("three layers did nothing")
            x = layer(x)
        return x


def with_one_large(kind: type[odd.Net]) -> list[Batch]:
    """Six batches; the stem of the fourth one gives large values."""
    net = odd.built(kind)
    draw = torch.Generator().manual_seed(3)
    found = [torch.randn(3, odd.TOKENS, odd.WIDTH, generator=draw) for _ in range(6)]
    weight: Any = net.stem.weight
    found[3][0, 0] = weight[0].detach() * 3 * BIG / weight[0].detach().square().sum()
    return [Batch(args=(x,), examples=3) for x in found]


def test_a_chain_that_is_left_on_the_way_is_noted() -> None:
    worst, engine, plans = compared(odd.built(Widens), with_one_large(Widens), PLACES, "chain")
    assert (worst, engine.name, plans) == (0, "chain", odd.DEPTH)
    assert engine.notes == [
        "a chain was left for some batches: a layer's output has another size than its examples together."
    ]


def test_a_batch_that_does_not_run_without_its_layers_is_recorded_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: set[int] = set()
    recorded = Skeleton.recorded

    def noted(self: Skeleton, number: int, batch: Batch) -> Any:
        refused.add(number)
        found = recorded(self, number, batch)
        refused.remove(number)
        return found

    monkeypatch.setattr(Skeleton, "recorded", noted)
    worst, engine, plans = compared(odd.built(Refuses), with_one_large(Refuses), PLACES, "chain")
    assert (worst, engine.name, plans) == (0, "chain", odd.DEPTH)
    assert 3 in refused


def test_a_pool_of_skeletons_fits_the_memory() -> None:
    """A skeleton holds next to nothing; the states of all its branches will."""
    net = odd.built(odd.Net)
    batches = [Batch(args=(torch.randn(4, odd.TOKENS, odd.WIDTH),), examples=4) for _ in range(12)]
    anatomy = anatomy_of(net, batches[0])
    plans = plans_of(anatomy, PLACES)
    state = 4 * odd.TOKENS * odd.WIDTH * 4
    engine = engine_of(anatomy, plans, "chain", memory=3 * 2 * state * (len(plans) + 1))
    outputs(engine, batches, plans)
    assert engine.group_size() == 2
