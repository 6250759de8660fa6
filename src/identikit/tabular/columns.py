"""What a table's columns are: numbers or categories, what is missing in them, and what they must not hold."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from identikit.errors import TableError
from identikit.tabular.cells import (
    Column,
    as_numbers,
    complex_text,
    date_text,
    infinite,
    is_number,
    kinds_of,
    without_missing,
)
from identikit.tabular.grid import Grid, read_grid


@dataclass(frozen=True)
class Table:
    """The columns of a table, each of one kind. `labels` is how messages call them: `column "age"`, `column 3`."""

    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    rows: int

    def at(self, index: npt.NDArray[np.int64]) -> Table:
        """Some of the rows."""
        return Table(tuple(column[index] for column in self.columns), self.labels, len(index))


def read_table(X: Any, *, categorical: Collection[int] = (), what: str = "X") -> Table:
    """The columns of `X`: a data frame, an array, or a list of rows.

    Numbers are numbers. Text, bools and pandas' categories are categories, and so are the columns that `categorical`
    counts off. A column of objects is what its cells are. NaN, None and pandas' NA are missing values, and so is what
    a mask hides. `what` is the table's name in messages.

    Raises TableError, one line, where this is no table, or where a column mixes numbers and text or holds a value that
    is infinite, complex, a date, or no single value at all.
    """
    return read_columns(read_grid(X, what), categorical=categorical, what=what)


def read_columns(grid: Grid, *, categorical: Collection[int] = (), what: str = "X") -> Table:
    """The same for a table that was taken apart already."""
    labels, columns = grid.labels(what), []
    for number, label in enumerate(labels):
        found = grid.columns[number]
        column = _categories(found, label) if number in categorical else _column(found, label)
        _refuse_infinite(column, label)
        columns.append(column)
    return Table(tuple(columns), labels, grid.rows)


def _column(column: Any, label: str) -> Column:
    """A column by what it holds."""
    return _of_frame(column, label) if hasattr(column, "iloc") else _of_array(column, label)


def _categories(column: Any, label: str) -> Column:
    """A column that is meant as categories, whatever it holds; whole numbers stay whole."""
    if not hasattr(column, "iloc"):
        _refuse_dates(column, label)
    cells = without_missing(_objects(column))
    kinds_of(cells, label)
    return cells


def _of_frame(series: Any, label: str) -> Column:
    """A column of a data frame. pandas is loaded already: the frame is its own."""
    from pandas.api import types

    kind = series.dtype
    if isinstance(kind, types.CategoricalDtype) or types.is_bool_dtype(kind):
        return _categories(series, label)
    if types.is_complex_dtype(kind):
        raise TableError(complex_text(label))
    if types.is_numeric_dtype(kind):
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return _of_objects(_objects(series), label)


def _of_array(cells: npt.NDArray[Any], label: str) -> Column:
    if cells.dtype.kind in "fiu":
        return cells.astype(np.float64)
    if cells.dtype.kind == "c":
        raise TableError(complex_text(label))
    _refuse_dates(cells, label)
    if cells.dtype.kind in "US" and _reads_as_numbers(cells):
        raise TableError(
            f"{label} holds numbers written as text ({str(cells[0])!r}), as numpy makes them of a mixed table. "
            "Give a data frame or np.array(rows, dtype=object); or, where these are categories, say so: "
            f"categorical_features=[{label.split()[-1]}]."
        )
    return _of_objects(cells.astype(object), label)


def _of_objects(cells: Column, label: str) -> Column:
    """Objects by what they are: all numbers, or all categories; a mixture is refused. Nothing at all is numbers."""
    cells = without_missing(cells)
    kinds = kinds_of(cells, label)
    numbers = {kind for kind in kinds if is_number(kind)}
    if numbers == kinds:
        return as_numbers(cells)
    if not numbers:
        return cells
    one = next(cell for cell in cells if type(cell) in numbers)
    other = next(cell for cell in cells if type(cell) in kinds - numbers)
    raise TableError(
        f"{label} mixes numbers ({one!r}) and categories ({other!r}). Make it one kind: .astype(str), or "
        'pandas.to_numeric(..., errors="coerce").'
    )


def _objects(column: Any) -> Column:
    return np.asarray(column.astype(object))


def _reads_as_numbers(cells: npt.NDArray[Any]) -> bool:
    try:
        cells.astype(np.float64)
    except ValueError:
        return False
    return True


def _refuse_dates(cells: npt.NDArray[Any], label: str) -> None:
    """As objects, numpy's dates would be dates or whole numbers, by their unit."""
    if cells.dtype.kind in "mM":
        raise TableError(date_text(label, cells.dtype.name))


def _refuse_infinite(column: Column, label: str) -> None:
    rows = infinite(column)
    if len(rows):
        raise TableError(
            f"{label} holds an infinite value (inf) in row {rows[0]}, {len(rows)} in all. "
            "Put NaN there, which is a missing value, or drop those rows."
        )
