"""Some examples of a batch as a batch of its own, where each of its tensors has the same rows for each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from identikit.batches import Batch, map_tensors, tensors_of

_ALONE = (bool, int, float, str, type(None))  # what says something of the whole batch


def can_be_cut(batch: Batch) -> bool:
    """Whether it is plain which rows belong to which example; where it is not, a batch stays whole.

    Not so, for one: the edges of a graph, a mask that all examples share, a list of texts, a matrix of examples by
    examples.
    """
    inputs = tensors_of((batch.args, batch.kwargs))
    rows = {len(value) if value.ndim else 0 for value in inputs} - {0}
    if len(rows) != 1 or not all(value.layout is torch.strided for value in inputs):
        return False
    (count,) = rows
    square = any(value.shape[:2] == (count, count) for value in inputs)
    alike = len({value.shape[:2] for value in inputs if value.ndim}) == 1
    if count % batch.examples or not _plain((batch.args, batch.kwargs)) or (square and not alike):
        return False
    return batch.target is None or _rows_of_target(batch.target) in (batch.examples, count)


def cut(batch: Batch, examples: Sequence[int]) -> Batch:
    """The examples with these numbers, from 0, of a batch that can be cut."""
    each = len(next(value for value in tensors_of((batch.args, batch.kwargs)) if value.ndim)) // batch.examples
    rows = [number * each + row for number in examples for row in range(each)]

    def taken(value: torch.Tensor) -> torch.Tensor:
        return value[rows] if value.ndim else value

    args, kwargs = map_tensors((batch.args, batch.kwargs), taken)
    target, which = batch.target, examples if _rows_of_target(batch.target) == batch.examples else rows
    if isinstance(target, (torch.Tensor, np.ndarray)):
        target = target[list(which)]
    elif isinstance(target, list):
        target = [target[number] for number in which]
    return replace(batch, args=args, kwargs=kwargs, target=target, examples=len(examples))


def _rows_of_target(target: Any) -> int | None:
    """How many rows a target has; None where it is nothing that has rows."""
    if isinstance(target, (torch.Tensor, np.ndarray)):
        return len(target) if target.ndim else None
    return len(target) if isinstance(target, list) else None


def _plain(tree: Any, *, listed: bool = False) -> bool:
    """Whether all there is beside the tensors is of the whole batch: nothing that might be a list of examples."""
    if isinstance(tree, torch.Tensor):
        return True
    if isinstance(tree, Mapping):
        return all(_plain(value) for value in tree.values())
    if isinstance(tree, (tuple, list)):
        return all(_plain(value, listed=True) for value in tree)
    return isinstance(tree, _ALONE) and (tree is None or not listed)
