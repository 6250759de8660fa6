"""What a table's columns are: numbers or categories, what is missing in them, and what they must not hold."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from identikit.errors import CellError, TableError, did_you_mean

#: Numbers are float64 with NaN for what is missing; categories are objects with None for it.
Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Table:
    """The columns of a table, each of one kind. `labels` is how messages call them: `column "age"`, `column 3`."""

    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    rows: int

    def at(self, index: npt.NDArray[np.int64]) -> Table:
        """Some of the rows."""
        return Table(tuple(column[index] for column in self.columns), self.labels, len(index))


def holds_numbers(column: Column) -> bool:
    """Whether the column holds numbers; else it holds categories."""
    return column.dtype != object


def read_table(X: Any, *, categorical: Collection[int] = (), what: str = "X") -> Table:
    """The columns of `X`: a data frame, an array, or a list of rows.

    Numbers are numbers. Text, bools and pandas' categories are categories, and so are the columns that `categorical`
    counts off. A column of objects is what its cells are. NaN, None and pandas' NA are missing values. `what` is the
    table's name in messages: "X" or "y".

    Raises TableError, one line, where this is no table, or where a column mixes numbers and text or holds a value that
    is infinite, complex, a date, or no single value at all.
    """
    frame = hasattr(X, "iloc") and hasattr(X, "columns")
    cells: Any = X if frame else _as_cells(X)
    rows, count = cells.shape
    if count == 0:
        raise TableError(f"{what} has 0 feature(s) (shape=({rows}, 0)) while a minimum of 1 is required.")
    if rows == 0:
        raise TableError(f"{what} has 0 rows (shape=(0, {count})) while a minimum of 1 is required.")
    names = [f'"{name}"' if isinstance(name, str) else str(name) for name in (X.columns if frame else range(count))]
    opening = "" if what == "X" else f"{what}, "
    labels = (what,) if what != "X" and count == 1 else tuple(f"{opening}column {name}" for name in names)
    columns = []
    for number, label in enumerate(labels):
        meant = number in categorical
        column = cells.iloc[:, number] if frame else cells[:, number]
        column = _of_frame(column, label, meant) if frame else _of_array(column, label, meant)
        _refuse_infinite(column, label, what)
        columns.append(_without_missing(column.astype(object)) if meant else column)
    return Table(tuple(columns), labels, rows)


def _as_cells(X: Any) -> npt.NDArray[Any]:
    """An array of two dimensions; the cells of a list keep their kinds."""
    if hasattr(X, "toarray"):
        raise TableError("X is a sparse matrix, and a dense table is needed. Convert it: X.toarray().")
    cells = np.asarray(X) if hasattr(X, "__array__") else np.asarray(X, dtype=object)
    if cells.ndim != 2:
        raise TableError(
            f"X has {cells.ndim} dimension{'s' if cells.ndim != 1 else ''}, and a table has 2. Reshape your data: "
            "X.reshape(-1, 1) where it is one column, X.reshape(1, -1) where it is one row."
        )
    return cells


def _of_frame(series: Any, label: str, meant: bool) -> Column:
    """A column of a data frame. pandas is loaded already: the frame is its own."""
    from pandas.api import types

    kind = series.dtype
    if isinstance(kind, types.CategoricalDtype) or types.is_bool_dtype(kind):
        return _without_missing(series.astype(object).to_numpy())
    if types.is_complex_dtype(kind):
        raise TableError(_complex(label))
    if types.is_numeric_dtype(kind):
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    return _of_objects(series.astype(object).to_numpy(), label, meant)


def _of_array(cells: npt.NDArray[Any], label: str, meant: bool) -> Column:
    if cells.dtype.kind in "fiu":
        return cells.astype(np.float64)
    if cells.dtype.kind == "c":
        raise TableError(_complex(label))
    if cells.dtype.kind in "US" and not meant and _reads_as_numbers(cells):
        raise TableError(
            f"{label} holds numbers written as text ({str(cells[0])!r}), as numpy makes them of a mixed table. "
            "Give a data frame or np.array(rows, dtype=object); or, where these are categories, say so: "
            f"categorical_features=[{label.split()[-1]}]."
        )
    return _of_objects(cells.astype(object), label, meant)


def _of_objects(cells: Column, label: str, meant: bool) -> Column:
    """Objects by what they are: all numbers, or all categories; a mixture is refused unless `meant` as categories."""
    cells = _without_missing(cells)
    kinds = {type(cell) for cell in cells if cell is not None}
    for kind in kinds:
        _check_kind(kind, cells, label)
    numbers = {kind for kind in kinds if issubclass(kind, Real)} - {bool, np.bool_}
    if meant or (kinds and not numbers):
        return cells
    if numbers == kinds:
        return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
    one = next(cell for cell in cells if type(cell) in numbers)
    other = next(cell for cell in cells if type(cell) in kinds - numbers)
    raise TableError(
        f"{label} mixes numbers ({one!r}) and categories ({other!r}). Make it one kind: .astype(str), or "
        'pandas.to_numeric(..., errors="coerce").'
    )


def _check_kind(kind: Any, cells: Column, label: str) -> None:
    """Raise for a kind of cell that is neither a number nor a category."""
    if issubclass(kind, complex):
        raise TableError(_complex(label))
    if issubclass(kind, np.datetime64 | np.timedelta64) or hasattr(kind, "strftime") or hasattr(kind, "total_seconds"):
        raise TableError(
            f"{label} holds dates or times ({kind.__name__}). Give numbers instead: the year, the month, or the "
            "seconds since a fixed day."
        )
    if not issubclass(kind, Hashable):
        row = next(number for number, cell in enumerate(cells) if type(cell) is kind)
        raise CellError(
            f"{label}, row {row}: argument must be a string or a real number, found a {kind.__name__}. "
            "Give one value a cell."
        )


def _without_missing(cells: Column) -> Column:
    """Objects with None for every way in which a value can be missing."""
    return np.fromiter((None if _is_missing(cell) else cell for cell in cells), dtype=object, count=len(cells))


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, Real) and cell != cell)


def _reads_as_numbers(cells: npt.NDArray[Any]) -> bool:
    try:
        cells.astype(np.float64)
    except ValueError:
        return False
    return True


def _refuse_infinite(column: Column, label: str, what: str) -> None:
    if holds_numbers(column) and np.isinf(column).any():
        rows = np.flatnonzero(np.isinf(column))
        fix = "Put NaN there, which is a missing value, or drop those rows." if what == "X" else "Drop those rows."
        raise TableError(f"{label} holds an infinite value (inf) in row {rows[0]}, {len(rows)} in all. {fix}")


def _complex(label: str) -> str:
    return f"Complex data not supported: {label} holds complex numbers. Give real and imaginary part as two columns."


def chosen_columns(chosen: Any, X: Any) -> tuple[int, ...]:
    """The numbers of the columns that `categorical_features` names: by name, by number, or by a mask."""
    if chosen is None:
        return ()
    names = list(X.columns) if hasattr(X, "iloc") and hasattr(X, "columns") else None
    count = len(names) if names is not None else np.shape(X)[1]
    given = list(chosen) if not isinstance(chosen, str) else [chosen]
    if given and all(isinstance(each, bool | np.bool_) for each in given):
        if len(given) != count:
            raise TableError(f"categorical_features is a mask of {len(given)} columns, and X has {count}.")
        return tuple(int(number) for number in np.flatnonzero(given))
    found = []
    for each in given:
        if names is not None and each in names:
            found.append(names.index(each))
        elif isinstance(each, int | np.integer) and 0 <= each < count:
            found.append(int(each))
        else:
            near = (
                did_you_mean(each, [name for name in names or () if isinstance(name, str)])
                if isinstance(each, str)
                else ""
            )
            raise TableError(f"categorical_features names {each!r}, which is no column of X.{near}")
    return tuple(found)
