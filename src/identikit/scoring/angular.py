"""Angular distance: the angle between what enters a run of layers and what leaves it, for all runs in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.scoring.compared import compared
from identikit.scoring.influence import precise

METHOD = "angular"


def scores(anatomy: Anatomy, data: Iterable[Batch], plans: Mapping[str, Plan], *, seed: int = 0) -> dict[str, Floats]:
    """arccos(cosine) / pi between the stream that enters a plan's first block and what leaves its last: [examples].

    0: the same direction, 0.5: at right angles, 1: opposite. A plan of n blocks in a row is a span of n layers.

    The paper looks at the last token of each sequence alone, because it is what a causal language model predicts from.
    So does this where the model's library says that the stack feeds a cache that the model decodes with (the last token
    that is no padding, on whichever side that is). Where the model decodes nothing, or nothing says so (an encoder, a
    picture, a module of your own), no token stands for the others, and all tokens that count are averaged.

    Source: Gromov et al. 2024, "The Unreasonable Ineffectiveness of the Deeper Layers", arXiv:2403.17887, equation 7.
    Raises as `influence.scores` does.
    """
    return compared(anatomy, data, plans, angle, method=METHOD, seed=seed, last=True)


def angle(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The angle over pi in the last dimension: [..., features] twice to [...].

    By the half-angle formula (Kahan): arccos of a cosine near 1 has an error of the square root of the rounding. Two
    zeros have the angle 0; a zero and anything else a right one.
    """
    sums = precise(one)
    units = []
    for each in (one, other):
        norm = torch.linalg.vector_norm(each, dim=-1, keepdim=True, dtype=sums)
        units.append(each / norm.where(norm != 0, 1.0))
    apart, along = (torch.linalg.vector_norm(each, dim=-1) for each in (units[0] - units[1], units[0] + units[1]))
    return 2.0 * torch.atan2(apart, along) / math.pi
