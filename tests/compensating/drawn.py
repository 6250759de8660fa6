"""Batches like an example's, with other values: what the tests of this folder fit to, and judge by."""

from __future__ import annotations

import torch

from identikit.batches import Batch, map_tensors


def shared(batches: list[Batch]) -> tuple[list[Batch], list[Batch]]:
    """Three in four to learn from, the fourth to judge by."""
    judged = batches[3::4]
    return [batch for batch in batches if not any(batch is each for each in judged)], judged


def like(batch: Batch, *, batches: int = 24, seed: int = 0) -> list[Batch]:
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
    return made
