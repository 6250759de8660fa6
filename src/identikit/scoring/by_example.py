"""Which dimension of a layer's tensor is the batch: from rows of the model to one value for each example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from identikit.batches import Batch, tensors_of
from identikit.errors import MetricError
from identikit.families.anatomy import Anatomy
from identikit.scoring.passes import run_plainly
from identikit.structure.override import Forward
from identikit.structure.trees import Path, at

Leaf = tuple[str, Path]  # an output of a layer: the layer's path, the way to the tensor inside what it returns


def turned(anatomy: Anatomy, recorded: Mapping[Leaf, torch.Tensor]) -> set[Leaf]:
    """The outputs that lie as [positions, rows, features]: inside, some models take their tokens first.

    `recorded`: the outputs of the watched pass. Where its sizes do not tell (as many tokens as rows), one more pass
    over its first example does.
    """
    rows = rows_of_model(anatomy.batch)
    second = {leaf: value for leaf, value in recorded.items() if value.ndim == 3 and value.shape[1] == rows}
    unclear = {leaf: value.shape for leaf, value in second.items() if value.shape[0] % rows == 0 and rows > 1}
    found = {leaf for leaf, value in second.items() if leaf not in unclear and value.shape[0] != rows}
    if not unclear or anatomy.batch.examples < 2:
        return found
    alone = anatomy.batch.head(1)
    few, shapes = rows_of_model(alone), _shapes(anatomy, alone, unclear)
    return found | {leaf for leaf, shape in shapes.items() if shape[0] == unclear[leaf][0] and shape[1] == few}


def rows_of_model(batch: Batch) -> int:
    """How many rows the model sees: the first dimension of the first tensor that has one."""
    sizes = (int(value.shape[0]) for value in tensors_of((batch.args, batch.kwargs)) if value.ndim)
    return next(sizes, max(1, batch.examples))


def as_rows(value: torch.Tensor, batch: Batch, *, turned: bool, layer: str, method: str) -> torch.Tensor:
    """`value` as [rows, all else]; MetricError where the rows are not the same number for each example.

    A model that folds frames or windows into the batch has several rows for an example, next to each other.
    """
    rows_first = value.transpose(0, 1) if turned else value
    rows = rows_first.shape[0] if rows_first.ndim else 0
    if batch.examples < 1 or rows == 0 or rows % batch.examples:
        found = "x".join(map(str, value.shape)) or "a scalar"
        raise MetricError(
            f'{method}: what "{layer}" returns ({found}) cannot be told apart by the {batch.examples} examples of the '
            'batch. Use method="exact", or leave the layer out (at=...).'
        )
    return rows_first.reshape(rows, -1)


def finite(values: torch.Tensor, *, layer: str, method: str) -> torch.Tensor:
    """`values` [examples]; MetricError where one is NaN or infinite: an error is an error, never a score."""
    bad = (~torch.isfinite(values)).nonzero().flatten().tolist()
    if bad:
        found = "NaN" if bool(torch.isnan(values[bad[0]])) else "infinite"
        raise MetricError(
            f'{method} of "{layer}" is {found} for example {bad[0]} of a batch ({len(bad)} of {len(values)} examples): '
            "what the model computes is not finite there. Try a wider dtype (float32), or leave the example out."
        )
    return values


def _shapes(anatomy: Anatomy, batch: Batch, leaves: Iterable[Leaf]) -> dict[Leaf, torch.Size]:
    """The shapes of these outputs on `batch`."""
    found: dict[Leaf, torch.Size] = {}
    places: dict[str, list[Path]] = {}
    for path, leaf in leaves:
        places.setdefault(path, []).append(leaf)

    def noting(path: str, _: Any, forward: Forward) -> Forward:
        def run(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            found.update({(path, leaf): at(output, leaf).shape for leaf in places[path]})
            return output

        return run

    run_plainly(anatomy, batch, 0, {path: anatomy.model.get_submodule(path) for path in places}, noting)
    return found
