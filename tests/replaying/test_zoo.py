"""The law of replaying: over the zoo every engine gives the outputs of the plain loop, bit for bit or noticed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from identikit.batches import Batch, map_tensors
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.plan import Plan
from replaying.held import apart, engine_of, outputs, plans_of
from zoo import ZOO, Case, case

#: Rows of a stack of small matrices come out in other last bits (and experts' sums in another order).
STACKED_WITHIN = {"mixtral", "nested", "by_name", "resnet", "unet"}
#: Cannot be stacked, and says so.
UNSTACKED = {
    "shared": "takes what another layer returned",
    "in_place": "writes into its input",
}


def batches_of(case: Case, model: nn.Module) -> list[Batch]:
    """Three batches of different content, the second with its padding elsewhere, and a last one of one example."""
    first = case.inputs(model)
    turned = _turned(first)
    return [first, turned, first.head(1), _turned(turned.head(1))]


def _turned(batch: Batch) -> Batch:
    def turn(value: torch.Tensor) -> torch.Tensor:
        return value.flip(0) * 0.9 if value.is_floating_point() else value.flip(0)

    args, kwargs = map_tensors((batch.args, batch.kwargs), turn)
    return Batch(args, kwargs, None, batch.examples)


def all_plans(case: Case, anatomy: Anatomy) -> list[Plan]:
    """Every block, two and three at once, a layer inside each of two blocks, and those as zeros."""
    blocks = case.blocks()
    inner = [
        f"{blocks[number]}.{name}"
        for number in (0, len(blocks) // 2)
        for name, _ in list(anatomy.model.get_submodule(blocks[number]).named_children())[:3]
    ]
    together: list[tuple[str, ...]] = [(blocks[0], blocks[-1]), tuple(blocks[1:4])]
    plans = [*plans_of(anatomy, [*blocks, *together]), *plans_of(anatomy, inner)]
    plans += plans_of(anatomy, [*inner[:2], blocks[1]], "zero")
    return list(dict.fromkeys(plans))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in ZOO])
def test_every_engine_is_the_plain_loop(case: Case) -> None:
    model = case.build()
    batches = batches_of(case, model)
    anatomy = anatomy_of(model, batches[0])
    plans = all_plans(case, anatomy)
    assert len(plans) >= len(case.blocks())
    truth = outputs(engine_of(anatomy, plans, "loop"), batches, plans)
    assert len({id(truth[plan, 0]) for plan in plans}) == len(plans)
    for asked in ("suffix", "chain", "auto"):
        engine = engine_of(anatomy, plans, asked)
        worst = apart(outputs(engine, batches, plans), truth)
        if asked == "suffix":
            assert engine.name == "suffix"
            assert engine.notes == []
        if asked == "chain":
            assert engine.name == ("suffix" if case.name in UNSTACKED else "chain")
            assert bool(engine.notes) == (case.name in UNSTACKED)
        stacked = engine.name == "chain" and case.name in STACKED_WITHIN
        assert worst <= (1 if stacked else 0), (asked, engine.name)


@pytest.mark.parametrize("asked", ["suffix", "chain"])
@pytest.mark.parametrize("name", ["llama", "bart", "unet"])
def test_with_hardly_any_memory(name: str, asked: str) -> None:
    """The same outputs, batch after batch."""
    held = case(name)
    model = held.build()
    batches = batches_of(held, model)
    anatomy = anatomy_of(model, batches[0])
    plans = plans_of(anatomy, held.blocks())
    truth = outputs(engine_of(anatomy, plans, "loop"), batches, plans)
    for how in ({"memory": 1}, {"memory": 1, "keep": True}, {"memory": 20_000, "keep": True}):
        engine = engine_of(anatomy, plans, asked, **how)
        assert apart(outputs(engine, batches, plans), truth) <= (1 if name == "unet" else 0)
        assert engine.name == asked


@pytest.mark.parametrize("name", ["llama", "bert", "vit"])
def test_sweeps_that_build_on_each_other(name: str) -> None:
    """A search's rounds, all plans with the layers in common that went before: states are kept, outputs the same."""
    held = case(name)
    model = held.build()
    batches = batches_of(held, model)
    anatomy = anatomy_of(model, batches[0])
    blocks = held.blocks()[:4]
    for asked in ("suffix", "chain"):
        engine = engine_of(anatomy, plans_of(anatomy, blocks), asked, keep=True)
        for gone in ((), (blocks[2],), (blocks[0], blocks[2])):
            rounds: Sequence[tuple[str, ...]] = [(*gone, block) for block in blocks if block not in gone]
            plans = plans_of(anatomy, rounds)
            truth = outputs(engine_of(anatomy, plans, "loop"), batches, plans)
            assert apart(outputs(engine, batches, plans), truth) == 0
        assert engine.name == asked
