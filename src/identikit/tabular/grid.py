"""The columns of a table, whatever it came as: a data frame, an array, a tensor, a list of rows."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from identikit.errors import TableError


@dataclass(frozen=True)
class Grid:
    """Columns that nobody has looked at yet: pandas' own, or arrays of one dimension. `names` are a data frame's."""

    columns: tuple[Any, ...]
    names: tuple[Hashable, ...] | None
    rows: int

    def labels(self, what: str) -> tuple[str, ...]:
        """How messages call the columns: `column "age"`, `column 3`; `y, column 1` where `what` is not X."""
        given = range(len(self.columns)) if self.names is None else self.names
        opening = "" if what == "X" else f"{what}, "
        shown = (f'"{name}"' if isinstance(name, str) else str(name) for name in given)
        return tuple(f"{opening}column {name}" for name in shown)


def read_grid(X: Any, what: str = "X") -> Grid:
    """The columns of `X`, which messages call `what`. Raises TableError, one line, where this is no table."""
    if hasattr(X, "toarray"):
        raise TableError(f"{what} is a sparse matrix, and a dense table is needed. Convert it: {what}.toarray().")
    names = _names(X)
    if names is not None:
        grid = Grid(_columns_of_frame(X, names), names, len(X))
    else:
        cells = _cells(X, what)
        grid = Grid(tuple(cells.T), None, len(cells))
    if not grid.columns:
        raise TableError(f"{what} has 0 feature(s) (shape=({grid.rows}, 0)) while a minimum of 1 is required.")
    if grid.rows == 0:
        raise TableError(f"{what} has 0 rows (shape=(0, {len(grid.columns)})) while a minimum of 1 is required.")
    return grid


def is_frame(X: Any) -> bool:
    """Whether the columns of `X` have names: a data frame of pandas or polars, a table of pyarrow."""
    return _names(X) is not None


def as_array(given: Any) -> npt.NDArray[Any]:
    """`given` as numpy has it: tensors without their gradients, the cells that a mask hides as None.

    Raises TableError for a tensor that holds no values.
    """
    if isinstance(given, torch.Tensor):
        if given.is_meta:
            raise TableError("a tensor on the device meta holds no values. Give one with values.")
        given = given.detach().cpu()
        return np.asarray(given.double() if given.is_floating_point() else given)
    if isinstance(given, np.ma.MaskedArray):
        hidden, given = np.ma.getmaskarray(given), np.asarray(given.data)
        if hidden.any():
            given = given.astype(object)
            given[hidden] = None
    return np.asarray(given)


def _names(X: Any) -> tuple[Hashable, ...] | None:
    for attribute in ("column_names", "columns"):
        if hasattr(X, attribute):
            return tuple(getattr(X, attribute))
    return None


def _columns_of_frame(X: Any, names: tuple[Hashable, ...]) -> tuple[Any, ...]:
    if hasattr(X, "iloc"):
        return tuple(X.iloc[:, number] for number in range(len(names)))
    columns = X.columns if hasattr(X, "column_names") else [X[name] for name in names]
    return tuple(as_array(column) for column in columns)


def _cells(X: Any, what: str) -> npt.NDArray[Any]:
    """An array of two dimensions; the cells of a list keep their kinds."""
    if not hasattr(X, "__array__"):
        refuse_ragged(X, what)
    cells = as_array(X) if hasattr(X, "__array__") else np.asarray(X, dtype=object)
    if cells.dtype.kind == "V":
        raise TableError(f"{what} is a structured array. Give a data frame: pandas.DataFrame({what}).")
    if cells.ndim != 2:
        raise TableError(
            f"{what} has {cells.ndim} dimension{'s' if cells.ndim != 1 else ''}, and a table has 2. Reshape your data: "
            f"{what}.reshape(-1, 1) where it is one column, {what}.reshape(1, -1) where it is one row."
        )
    return cells


def refuse_ragged(X: Any, what: str) -> None:
    """Raise TableError for a list of rows that are not all as long."""
    shapes = [np.shape(row) for row in X] if isinstance(X, list | tuple) else []
    row = next((number for number, shape in enumerate(shapes) if shape != shapes[0]), None)
    if row is not None:
        raise TableError(
            f"{what} has rows of different shapes: {list(shapes[0])} in row 0, {list(shapes[row])} in row {row}."
        )
