"""Which dimension of a layer's output holds the examples: found by three passes over two of them, and proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from identikit.batches import Batch, map_tensors, tensors_of
from identikit.errors import InputsError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.structure.compare import equal
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, leaves, shape_of
from identikit.surgery.check import NOT_RUN

ONE_EXAMPLE = (
    "resample takes another example's values, and this batch holds one example. Use batches of two or more, or "
    'as_="mean".'
)
_INSTEAD = 'Resample the layer around it, or use as_="mean".'
Outputs = Mapping[str, Sequence[Path]]  # a layer's path to the ways to tensors inside what it returns
_Seen = dict[tuple[str, Path], torch.Tensor]


def rows_per_example(batch: Batch) -> int:
    """How many rows of the model's input belong to one example, next to each other: two where examples are pairs."""
    sizes = (int(value.shape[0]) for value in tensors_of((batch.args, batch.kwargs)) if value.ndim)
    return max(1, next(sizes, 1) // max(1, batch.examples))


def donor_dims(anatomy: Anatomy, wanted: Outputs) -> dict[str, dict[Path, tuple[int, int] | None]]:
    """For each output its batch dimension and how many rows there belong to one example; None where all share it.

    What grows with a second example is the batch dimension; that its rows belong to the examples in their order is
    proved by exchanging the two. Raises InputsError where the example of `anatomy` is one alone, RoleError for a layer
    whose output cannot be told apart by examples.
    """
    if anatomy.batch.examples < 2:
        raise InputsError(ONE_EXAMPLE)
    two, per = anatomy.batch.head(2), rows_per_example(anatomy.batch)
    one = two.head(1)
    try:
        alone, both, exchanged = (_seen(anatomy, batch, wanted) for batch in (one, two, _exchanged(two)))
    except NOT_RUN as cause:
        why = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        name = type(anatomy.model).__name__
        raise RoleError(f"{name} does not run on one and on two of these examples ({why}).") from cause
    found: dict[str, dict[Path, tuple[int, int] | None]] = {}
    for path, places in wanted.items():
        found[path] = {}
        for place in places:
            seen = [each.get((path, place)) for each in (alone, both, exchanged)]
            if any(value is None or shape_of(value) is None for value in seen):
                raise RoleError(_unclear(path, "does not return a plain tensor each time for one and two examples"))
            found[path][place] = _dim(path, *seen, per=per)  # type: ignore[arg-type]
        if not any(found[path].values()):
            raise RoleError(_unclear(path, "returns the same for every example: no other has anything else to give"))
    return found


def _dim(
    path: str, one: torch.Tensor, two: torch.Tensor, exchanged: torch.Tensor, *, per: int
) -> tuple[int, int] | None:
    same = one.ndim == two.ndim and two.shape == exchanged.shape
    grown = [dim for dim in range(one.ndim) if one.shape[dim] != two.shape[dim]] if same else []
    if same and not grown and equal(two, exchanged):
        return None
    if len(grown) != 1 or two.shape[grown[0]] != 2 * one.shape[grown[0]]:
        raise RoleError(_unclear(path, f"returns {_sizes(one)} for one example and {_sizes(two)} for two"))
    dim, rows = grown[0], one.shape[grown[0]]
    if per % rows:
        what = f"folds {rows // per} rows of each example into its batch dimension, and how many depends on the input"
        raise RoleError(_unclear(path, what))
    if not equal(two.roll(rows, dim), exchanged):
        raise RoleError(_unclear(path, "does not return the examples' values exchanged where two examples are"))
    return dim, rows


def _unclear(path: str, what: str) -> str:
    return f'"{path}" {what}, so which values belong to which example is not known. {_INSTEAD}'


def _exchanged(two: Batch) -> Batch:
    """Two examples in the other order."""
    rows = 2 * rows_per_example(two)

    def turn(value: torch.Tensor) -> torch.Tensor:
        return value.roll(rows // 2, 0) if value.ndim and len(value) == rows else value

    args, kwargs = map_tensors((two.args, two.kwargs), turn)
    return Batch(args, kwargs, None, 2)


def _seen(anatomy: Anatomy, batch: Batch, wanted: Outputs) -> _Seen:
    """These outputs of each layer's first call on `batch`."""
    found: _Seen = {}
    modules = {path: anatomy.model.get_submodule(path) for path in wanted}

    def noting(path: str, _: Any, forward: Forward) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            for place, value in leaves(output):
                if place in wanted[path] and isinstance(value, torch.Tensor):
                    found.setdefault((path, place), value.clone())  # later layers may write into it
            return output

        return run

    with anatomy.family.quiet(anatomy.model), traceless(anatomy.model), overriding(modules, noting):
        batch.copied().call(anatomy.model)
    return found


def _sizes(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"
