"""Block influence: how far each block turns the stream, one pass over the data for all blocks (ShortGPT)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.scoring.compared import compared

METHOD = "influence"


def scores(anatomy: Anatomy, data: Iterable[Batch], plans: Mapping[str, Plan], *, seed: int = 0) -> dict[str, Floats]:
    """1 minus the mean cosine between the stream that enters a block and the one that leaves it: name to [examples].

    0: the block leaves the direction of every token as it was; 1: what leaves has nothing to do with what entered (at
    most 2). Measured on the block's own input and output, so never behind a final norm; for each token (for each pixel
    of a picture), padding left out, averaged over the tokens of a row, then over the rows of an example. A plan of
    several blocks in a row is compared over the whole run. All plans share one forward pass a batch.

    Where a stream is zero on both sides it was left as it is (0), on one side it was replaced (1).
    Source: Men et al. 2024, "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
    arXiv:2403.03853, equation 1. Raises RoleError for a plan that is no run of whole blocks, MetricError for a value
    that is not finite, NotReachedError for a block that does not run on the data.
    """
    return compared(anatomy, data, plans, turn, method=METHOD, seed=seed)


def turn(entered: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """1 - cosine of the features of each position: [..., features] twice to [...]."""
    return 1.0 - cosine(entered, left)


def cosine(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The cosine in the last dimension, summed in float64; 1 where both are zero, 0 where one of them is."""
    sums = precise(one)
    dot = (one * other).sum(dim=-1, dtype=sums)
    norms = [torch.linalg.vector_norm(each, dim=-1, dtype=sums) for each in (one, other)]
    both = norms[0] * norms[1]
    still = (norms[0] == 0) & (norms[1] == 0)
    found: torch.Tensor = (dot / both.where(both > 0, 1.0)).where(both != 0, still.to(sums))
    return found


def precise(value: torch.Tensor) -> torch.dtype:
    """The dtype that sums are made in: float64, where the device has it."""
    return torch.float32 if value.device.type == "mps" else torch.float64
