"""Work is rows x layers: replays do what arithmetic asks for and no more, stacked or not; a search less than that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

import identikit as ik
from identikit.families.anatomy import anatomy_of
from identikit.plan import Plan
from identikit.replaying.engine import Engine
from replaying import odd
from replaying.held import engine_of, outputs, plans_of
from replaying.test_zoo import batches_of
from zoo import case

#: Chains of which every layer can go: L blocks in one stack.
NAMES = ["llama", "gpt2", "bert", "vit", "mamba", "gemma3", "qwen3", "mixtral", "bloom", "tied", "tuples", "dicts"]


def work(name: str, asked: str, *, full: bool = True) -> tuple[int, int, int]:
    """Rows x layers of leaving out one layer after the other, the rows, and the layers."""
    held = case(name)
    model = held.build()
    batches = batches_of(held, model)
    anatomy = anatomy_of(model, batches[0])
    plans = plans_of(anatomy, held.blocks())
    engine = engine_of(anatomy, plans, asked)
    outputs(engine, batches, plans)
    assert engine.name == asked
    return engine.passes.work.done, sum(batch.examples for batch in batches), len(plans)


@pytest.mark.parametrize("name", NAMES)
def test_leave_one_out(name: str) -> None:
    """Layer l is left out: l - 1 layers stand, L - l are run again: L (L - 1) / 2 for all, and L for the full model."""
    for asked in ("suffix", "chain"):
        done, rows, layers = work(name, asked)
        assert done <= rows * layers * (layers + 1) // 2, asked
    done, rows, layers = work(name, "loop")
    assert done == rows * (layers * (layers - 1) + layers)


def test_proving_is_counted_apart() -> None:
    held = case("bert")
    model = held.build()
    batches = batches_of(held, model)
    anatomy = anatomy_of(model, batches[0])
    plans = plans_of(anatomy, held.blocks())
    engine = engine_of(anatomy, plans, "chain")
    engine.prepare(batches[0], batches[1], plans, None)
    assert engine.passes.work.done == 0
    assert engine.passes.work.check > 0


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Every engine that is made."""
    made: list[Engine] = []
    own = Engine.__init__

    def noted(self: Engine, *args: Any, **how: Any) -> None:
        own(self, *args, **how)
        made.append(self)

    monkeypatch.setattr(Engine, "__init__", noted)
    return made


def searched(engines: list[Engine], asked: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, ik.Pruned]:
    """The work of a greedy search for three of five layers, and what it found."""
    prepare = Engine.prepare

    def by(self: Engine, *how: Any) -> None:
        self._asked = asked
        prepare(self, *how)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "prepare", by)
        pruned = ik.prune(odd.built(odd.Net), odd.batches(), drop=3)
    return engines[-1].passes.work.done, pruned


def test_a_greedy_search(engines: list[Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the plain greedy, for less work by suffix replay, and again less where states are kept."""
    rows = sum(batch.examples for batch in odd.batches())
    plain, found = searched(engines, "loop", monkeypatch)
    assert plain == rows * (5 + 5 * 4 + 4 * 3 + 3 * 2)
    least = plain
    for asked in ("suffix", "chain"):
        done, pruned = searched(engines, asked, monkeypatch)
        assert done < least, asked
        least = done
        assert pruned.plan == found.plan
        assert [(row.places, row.edited) for row in pruned.scan] == [(row.places, row.edited) for row in found.scan]
        assert {row.engine for row in pruned.scan} == {asked}


def test_states_are_kept_between_rounds() -> None:
    """A plan whose edits before a layer were all tried before needs nothing computed again."""
    model, batches = odd.built(odd.Net), odd.batches()[:2]
    anatomy = anatomy_of(model, batches[0])
    places = [f"layers.{number}" for number in range(odd.DEPTH)]
    engine = engine_of(anatomy, plans_of(anatomy, places), "chain", keep=True)

    def done(plans: Sequence[Plan]) -> int:
        before = engine.passes.work.done
        for _ in engine.outputs(list(enumerate(batches)), plans, full=False):
            pass
        return engine.passes.work.done - before

    first = plans_of(anatomy, places)
    engine.prepare(batches[0], batches[1], first, None)
    rows, numbers = 6, count()
    assert done(first) <= rows * (5 * 4 // 2 + 5), next(numbers)
    second = plans_of(anatomy, [("layers.1", place) for place in places if place != "layers.1"])
    # {0, 1} has 3 layers behind it to run, {1, 2} 2, {1, 3} 1, {1, 4} none: what stands before was kept.
    assert done(second) <= rows * (3 + 2 + 1)
