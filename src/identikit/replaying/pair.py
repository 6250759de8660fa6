"""Two examples of the data in one batch: an engine is checked on them, and learns the batch dimensions from them."""

from __future__ import annotations

from typing import Any

import torch

from identikit.batches import Batch, map_tensors, tensors_of


def pair_of(batch: Batch, other: Batch | None) -> Batch:
    """Two examples of `batch`, the most padded ones first; of a batch of one its own and that of `other`, or twice."""
    if batch.examples > 1:
        return _chosen(batch)
    same = other is not None and other.examples == 1 and _shapes(batch) == _shapes(other)
    return _joined(batch, other if same and other is not None else batch)


def _chosen(batch: Batch) -> Batch:
    """The two examples with the fewest positions that count, the fewest first; the first two where nothing is padded.

    A model may leave out the mask where nothing is padded: then it takes other arguments, and they tell little.
    """
    mask = batch.kwargs.get("attention_mask")
    per = _rows(batch) // batch.examples
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2 or len(mask) != batch.examples * per:
        return batch.head(2)
    counted = mask.reshape(batch.examples, -1).sum(1)
    picked = torch.argsort(counted, stable=True)[:2].tolist()
    order = [*picked, *(each for each in range(batch.examples) if each not in picked)]
    rows = torch.tensor([number * per + row for number in order for row in range(per)])
    return _reordered(batch, rows, torch.tensor(order)).head(2)


def _reordered(batch: Batch, rows: torch.Tensor, order: torch.Tensor) -> Batch:
    def take(value: torch.Tensor) -> torch.Tensor:
        return value[rows.to(value.device)] if value.ndim and len(value) == len(rows) else value

    args, kwargs = map_tensors((batch.args, batch.kwargs), take)
    return Batch(args, kwargs, None, batch.examples)


def _joined(one: Batch, other: Batch) -> Batch:
    rows = _rows(one)
    others = iter(tensors_of((other.args, other.kwargs)))

    def join(value: torch.Tensor) -> torch.Tensor:
        second = next(others)
        return torch.cat([value, second]) if value.ndim and len(value) == rows else value

    args, kwargs = map_tensors((one.args, one.kwargs), join)
    return Batch(args, kwargs, None, 2)


def _shapes(batch: Batch) -> list[Any]:
    return [(value.shape, value.dtype) for value in tensors_of((batch.args, batch.kwargs))]


def _rows(batch: Batch) -> int:
    return next(len(value) for value in tensors_of((batch.args, batch.kwargs)) if value.ndim)
