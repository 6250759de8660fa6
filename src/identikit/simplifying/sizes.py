"""How large a model is and how long a pass takes, before and after."""

from __future__ import annotations

from identikit.costing.cost import pass_seconds
from identikit.costing.latency import PASSES, median
from identikit.families.anatomy import Anatomy
from identikit.results.simplified import Size
from identikit.structure.packed import size_of as parameters_of


def size_of(anatomy: Anatomy) -> Size:
    """Parameters, modules, and the median seconds of a pass over the anatomy's batch, after one that warms up."""
    times = [pass_seconds(anatomy) for _ in range(PASSES + 1)]
    return Size(parameters_of(anatomy.model), sum(1 for _ in anatomy.model.modules()), median(times[1:]))
