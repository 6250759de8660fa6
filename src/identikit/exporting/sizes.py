"""The same inputs in other sizes: more or fewer rows, longer or shorter rows, with padding in the masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from identikit.exporting.signature import Tensors

Place = tuple[str, int]  # an input's name, and a dimension of it


def resized(tensors: Tensors, sizes: Mapping[Place, int]) -> Tensors:
    """`tensors` with other sizes at the places given.

    Rows (dimension 0) are repeated from the first on; along another dimension the last value is repeated, so that ids
    stay in the vocabulary, positions among the positions, and padding at the end of a row.
    """
    found = dict(tensors)
    for (name, dim), size in sizes.items():
        value = found[name]
        index = torch.arange(size, device=value.device)
        old = value.shape[dim]
        found[name] = value.index_select(dim, index % old if dim == 0 else index.clamp(max=old - 1))
    return found


def padded(tensors: Tensors, rows: Iterable[Place], lengths: Iterable[Place]) -> Tensors:
    """`tensors` with zeros at the end of the first row of each mask: of what holds zeros and ones alone.

    `rows` and `lengths` are the places that count examples and tokens; a mask has one of each.
    """
    found = dict(tensors)
    long = dict(lengths)
    for name, dim in rows:
        value, along = found[name], long.get(name)
        if along is None or value.is_floating_point() or value.shape[along] < 2 or not _zeros_and_ones(value):
            continue
        value = value.clone()
        start = value.shape[along] - max(1, value.shape[along] // 4)
        value.select(dim, 0).narrow(along - (along > dim), start, value.shape[along] - start).zero_()
        found[name] = value
    return found


def hiding_something(tensors: Tensors) -> Tensors:
    """`tensors` with padding at the end of the first row wherever a table of whole numbers holds nothing but ones."""
    tables = [name for name, value in tensors.items() if value.ndim == 2 and not value.is_floating_point()]
    ones = [name for name in tables if bool((tensors[name] == 1).all())]
    return padded(tensors, [(name, 0) for name in ones], [(name, 1) for name in ones])


def _zeros_and_ones(value: torch.Tensor) -> bool:
    return value.dtype is torch.bool or bool(((value == 0) | (value == 1)).all())
