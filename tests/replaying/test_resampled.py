"""Resampled layers under replay: rows of a stack are no donors, and what a resampled layer computes is work."""

from __future__ import annotations

import pytest
import torch

from identikit.batches import Batch, map_tensors, tensors_of
from identikit.errors import IdentikitError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.plan import Plan
from identikit.surgery.choose import plan_for
from replaying.held import apart, engine_of, outputs
from replaying.test_zoo import UNSTACKED, _turned
from zoo import ZOO, Case, case

#: Layers beside the resampled one are still stacked there, in other last bits.
STACKED_WITHIN = {"nested", "by_name"}


def batches_of(case: Case, anatomy_rows: Batch) -> list[Batch]:
    """Two batches of four examples and more, the second with other content."""
    turned = _turned(anatomy_rows)
    rows = next(len(value) for value in tensors_of((turned.args, turned.kwargs)) if value.ndim)
    others = iter(tensors_of((turned.args, turned.kwargs)))

    def join(value: torch.Tensor) -> torch.Tensor:
        other = next(others)
        return torch.cat([value, other]) if value.ndim and len(value) == rows else value

    args, kwargs = map_tensors((anatomy_rows.args, anatomy_rows.kwargs), join)
    first = Batch(args, kwargs, None, 2 * anatomy_rows.examples)
    return [first, _turned(first)]


def plans_of(anatomy: Anatomy, case: Case) -> list[Plan]:
    """Every block, layers inside of two, and these behind a block that is gone: those would share a stack."""
    blocks = case.blocks()
    children = [
        [f"{block}.{name}" for name, _ in anatomy.model.get_submodule(block).named_children()]
        for block in (blocks[0], blocks[-1])
    ]
    plans = []
    for place in [*blocks, *children[0][:2], *children[1][:2]]:
        try:
            plans.append(plan_for(anatomy, [place], "resample"))
        except IdentikitError:
            continue
    last = [plan for plan in plans if plan.places[0] in children[1]][:1]
    gone = [plan_for(anatomy, [block]) for block in blocks[1:-1]]
    return list(dict.fromkeys([*plans, *(one | other for one in gone for other in last)]))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in ZOO])
def test_every_engine_is_the_plain_loop(case: Case) -> None:
    model = case.build()
    batches = batches_of(case, case.inputs(model))
    anatomy = anatomy_of(model, batches[0])
    plans = plans_of(anatomy, case)
    assert len(plans) >= len(case.blocks())
    truth = outputs(engine_of(anatomy, plans, "loop"), batches, plans)
    for asked in ("suffix", "chain"):
        engine = engine_of(anatomy, plans, asked)
        worst = apart(outputs(engine, batches, plans), truth)
        assert engine.name == ("suffix" if case.name in UNSTACKED else asked)
        assert worst <= (1 if engine.name == "chain" and case.name in STACKED_WITHIN else 0), asked


@pytest.mark.parametrize("name", ["llama", "bert", "vit", "tuples"])
def test_a_resampled_layer_is_computed_and_counted(name: str) -> None:
    """Layer l is resampled: l - 1 layers stand, L - l + 1 are run: L (L + 1) / 2 for all, and L for the full model."""
    held = case(name)
    model = held.build()
    batches = batches_of(held, held.inputs(model))
    anatomy = anatomy_of(model, batches[0])
    plans = [plan_for(anatomy, [block], "resample") for block in held.blocks()]
    rows, layers = sum(batch.examples for batch in batches), len(plans)
    for asked, wanted in {
        "suffix": layers * (layers + 1) // 2 + layers,
        "chain": layers * (layers + 1) // 2 + layers,
        "loop": layers * layers + layers,
    }.items():
        engine = engine_of(anatomy, plans, asked)
        outputs(engine, batches, plans)
        assert engine.name == asked
        assert engine.passes.work.done == rows * wanted, asked
