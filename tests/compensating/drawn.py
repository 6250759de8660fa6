"""Batches like an example's, with other values: what the tests of this folder fit to."""

from __future__ import annotations

import torch

from identikit.batches import Batch, map_tensors
from identikit.sources.objects import as_data
from identikit.sources.readings import Data


def like(batch: Batch, *, batches: int = 24, seed: int = 0) -> Data:
    """So many batches of `batch`'s shapes: numbers drawn anew, tokens too, masks as they are."""
    random = torch.Generator().manual_seed(seed)

    def other(value: torch.Tensor) -> torch.Tensor:
        if value.is_floating_point():
            return torch.randn(value.shape, generator=random)
        if value.dtype is torch.long and value.ndim == 2 and int(value.max()) > 1:
            return torch.randint(5, max(6, int(value.max())), value.shape, generator=random)
        return value.clone()

    made = []
    for _ in range(batches):
        args, kwargs = map_tensors((batch.args, dict(batch.kwargs)), other)
        made.append(Batch(args=args, kwargs=kwargs, examples=batch.examples))
    return as_data(made)
