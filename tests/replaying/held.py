"""An engine's outputs beside the plain loop's, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import IdentikitError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.plan import Plan
from identikit.replaying.engine import Engine
from identikit.structure.compare import difference
from identikit.structure.trees import rebuilt
from identikit.surgery.choose import plan_for
from identikit.surgery.install import install

Outputs = dict[tuple[Plan | None, int], Any]


def engine_of(anatomy: Anatomy, plans: Sequence[Plan], asked: str, **how: Any) -> Engine:
    """An engine for plans."""
    return Engine(anatomy, sorted({place for plan in plans for place in plan.places}), asked=asked, **how)


def outputs(engine: Engine, batches: Sequence[Batch], plans: Sequence[Plan]) -> Outputs:
    """Every output, each given once, whatever the order; in groups as the engine wants them."""
    second = batches[1] if len(batches) > 1 else None
    engine.prepare(batches[0], second, plans, None)
    engine.passes.work.done = 0
    found: Outputs = {}
    left = list(enumerate(batches))
    while left:
        size = engine.group_size()
        group, left = left[:size], left[size:]
        for plan, place, output in engine.outputs(group, plans, full=True):
            key = plan, group[place][0]
            assert key not in found
            found[key] = rebuilt(output, lambda _, leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf)
    return found


def apart(found: Outputs, truth: Outputs) -> float:
    """The largest difference from the plain loop: 0 is bit-equal, up to 1 within what the dtype allows."""
    assert found.keys() == truth.keys()
    return max(difference(found[key], truth[key]) for key in truth)


def plans_of(anatomy: Anatomy, places: Sequence[str | tuple[str, ...]], as_: str | None = None) -> list[Plan]:
    """A plan for each place (or several at once) that can be edited there."""
    found = []
    for place in places:
        try:
            plan = plan_for(anatomy, [place] if isinstance(place, str) else list(place), as_)
            install(anatomy, plan, decoding=False).undo()
        except IdentikitError:
            continue
        found.append(plan)
    return found


def compared(
    model: nn.Module, batches: Sequence[Batch], places: Sequence[str | tuple[str, ...]], asked: str,
    as_: str | None = None, **how: Any,
) -> tuple[float, Engine, int]:  # fmt: skip
    """How far an engine is from the plain loop, the engine, and how many plans there were."""
    anatomy = anatomy_of(model, batches[0])
    plans = plans_of(anatomy, places, as_)
    truth = outputs(engine_of(anatomy, plans, "loop"), batches, plans)
    engine = engine_of(anatomy, plans, asked, **how)
    return apart(outputs(engine, batches, plans), truth), engine, len(plans)
