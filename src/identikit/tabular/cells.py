"""The cells of one column: which are missing, and whether they are numbers or categories."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from math import inf
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from identikit.errors import CellError, TableError

#: Numbers are float64 with NaN for what is missing; categories are objects with None for it.
Column = npt.NDArray[Any]


def holds_numbers(column: Column) -> bool:
    """Whether the column holds numbers; else it holds categories."""
    return column.dtype != object


def is_number(kind: type) -> bool:
    """Whether cells of this kind are numbers. Bools are not: they are categories."""
    return issubclass(kind, Real | Decimal) and not issubclass(kind, bool | np.bool_)


def without_missing(cells: Column) -> Column:
    """Objects with None for every way in which a value can be missing."""
    return np.fromiter((None if _is_missing(cell) else cell for cell in cells), dtype=object, count=len(cells))


def kinds_of(cells: Column, label: str) -> set[type]:
    """The kinds of the cells that are not None. Raises TableError for one that no column may hold."""
    kinds = {type(cell) for cell in cells if cell is not None}
    for kind in kinds:
        _check_kind(kind, cells, label)
    return kinds


def as_numbers(cells: Column) -> Column:
    """float64 from numbers of any kind and None; what no float holds is infinite."""
    return np.array([np.nan if cell is None else _as_float(cell) for cell in cells], dtype=np.float64)


def infinite(column: Column) -> npt.NDArray[np.int64]:
    """The rows that hold an infinite value."""
    if holds_numbers(column):
        return np.flatnonzero(np.isinf(column))
    return np.flatnonzero([isinstance(cell, Real | Decimal) and abs(cell) == inf for cell in column])


def complex_text(label: str) -> str:
    """Why complex numbers are refused."""
    return f"Complex data not supported: {label} holds complex numbers. Give real and imaginary part as two columns."


def date_text(label: str, kind: str) -> str:
    """Why dates are refused."""
    return (
        f"{label} holds dates or times ({kind}). Give numbers instead: the year, the month, or the seconds since a "
        "fixed day."
    )


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return cell.is_nan() if isinstance(cell, Decimal) else isinstance(cell, Real) and cell != cell


def _check_kind(kind: Any, cells: Column, label: str) -> None:
    """Raise for a kind of cell that is neither a number nor a category."""
    if issubclass(kind, complex):
        raise TableError(complex_text(label))
    if issubclass(kind, np.datetime64 | np.timedelta64) or hasattr(kind, "strftime") or hasattr(kind, "total_seconds"):
        raise TableError(date_text(label, kind.__name__))
    if not issubclass(kind, Hashable):
        row = next(number for number, cell in enumerate(cells) if type(cell) is kind)
        raise CellError(
            f"{label}, row {row}: argument must be a string or a real number, found a {kind.__name__}. "
            "Give one value a cell."
        )


def _as_float(cell: Any) -> float:
    try:
        return float(cell)
    except OverflowError:  # a whole number beyond 1.8e308
        return inf
