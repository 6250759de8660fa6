"""How large a model is and how long a pass takes, before and after."""

from __future__ import annotations

from identikit.costing.latency import PASSES, Clock, median
from identikit.families.anatomy import Anatomy
from identikit.results.simplified import Size
from identikit.structure.packed import size_of as parameters_of
from identikit.structure.traceless import traceless


def size_of(anatomy: Anatomy) -> Size:
    """Parameters, modules, and the median seconds of a pass over the anatomy's batch, after one that warms up."""
    model, clock = anatomy.model, Clock(anatomy.model)
    times = []
    with anatomy.family.quiet(model):
        for _ in range(PASSES + 1):
            with traceless(model):
                batch = anatomy.batch.copied()
                began = clock.now()
                batch.call(model)
                times.append(clock.now() - began)
    return Size(parameters_of(model), sum(1 for _ in model.modules()), median(times[1:]))
