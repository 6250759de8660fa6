"""What a fit is to learn: labels as numbers of classes, values to standardise; and what a target must not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from identikit.errors import TableError
from identikit.tabular.cells import as_numbers, infinite, is_number, without_missing
from identikit.tabular.grid import as_array, is_frame, read_grid, refuse_ragged


def check_given(y: Any, rows: int, estimator: str, suffix: str = "") -> None:
    """Raise TableError where `y` is missing or of another length than the table; `suffix` is "_val" for those."""
    if y is None:
        raise TableError(f"{estimator} requires y{suffix} to be passed, but the target y{suffix} is None.")
    if not hasattr(y, "__len__") and not hasattr(y, "__array__"):
        raise TableError(f"y{suffix} is of the type {type(y).__name__}, and one target for each row is needed.")
    cells = _cells(y)
    if cells.ndim == 0:
        raise TableError(f"y{suffix} is a single value ({cells}), and one target for each row is needed.")
    if len(cells) != rows:
        raise TableError(f"X{suffix} has {rows} rows and y{suffix} {len(cells)}. Give one target for each row.")


def is_single(y: Any) -> bool:
    """Whether the target is one value a row, not a table of them."""
    return _cells(y).ndim == 1


def read_values(y: Any, what: str = "y") -> npt.NDArray[np.float64]:
    """A regression's target as `[rows, outputs]`. Raises TableError where a value is missing, infinite or no number."""
    cells = _cells(y)
    if cells.ndim > 2 or cells.size == 0:
        raise TableError(
            f"{what} has the shape {list(cells.shape)}. Give one value for each row, or several: [rows, outputs]."
        )
    grid = read_grid(y if is_frame(y) else cells.reshape(len(cells), -1), what)
    labels = grid.labels(what) if len(grid.columns) > 1 else (what,)
    return np.stack([_values(as_array(each), label) for each, label in zip(grid.columns, labels, strict=True)], axis=1)


def _values(column: npt.NDArray[Any], label: str) -> npt.NDArray[np.float64]:
    if column.dtype.kind not in "fiu":
        cells = without_missing(column.astype(object))
        for row, cell in enumerate(cells):
            if cell is not None and not is_number(type(cell)):
                raise TableError(f"{label} holds {cell!r} in row {row}, and a regression needs numbers.")
        column = as_numbers(cells)
    values = column.astype(np.float64)
    _refuse_missing(np.flatnonzero(np.isnan(values)), label)
    _refuse_infinite(infinite(values), label)
    return values


def read_labels(y: Any, what: str = "y") -> npt.NDArray[Any]:
    """A classification's target as `[rows]`. Raises TableError where a label is missing or infinite.

    A single column is taken with scikit-learn's warning; what is no set of classes is refused in its words.
    """
    values = _cells(y)
    if values.dtype.kind == "c":
        raise TableError(f"Complex data not supported: {what} holds complex numbers.")
    if values.dtype.kind not in "iub":
        cells = without_missing(values.reshape(-1).astype(object))
        _refuse_missing(np.flatnonzero([cell is None for cell in cells]), what)
        _refuse_infinite(infinite(cells), what)
    check_classification_targets(values)
    labels: npt.NDArray[Any] = column_or_1d(values, warn=True)
    return labels


def numbered(labels: npt.NDArray[Any], classes: npt.NDArray[Any], what: str = "y") -> npt.NDArray[np.int64]:
    """The number of each label's class. Raises TableError for a label that is none of `classes`."""
    number = {label: position for position, label in enumerate(classes.tolist())}
    found = np.array([number.get(label, -1) for label in labels.tolist()], dtype=np.int64)
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        known = ", ".join(map(repr, classes.tolist()[:5])) + (", ..." if len(classes) > 5 else "")
        raise TableError(f"{what} holds {labels.tolist()[row]!r} in row {row}, which is none of the classes ({known}).")
    return found


def _cells(y: Any) -> npt.NDArray[Any]:
    if hasattr(y, "toarray"):
        raise TableError("y is a sparse matrix, and a dense target is needed. Convert it: y.toarray().")
    if hasattr(y, "__array__"):
        return as_array(y)
    refuse_ragged(y, "y")
    return np.asarray(list(y))


def _refuse_missing(rows: npt.NDArray[np.int64], label: str) -> None:
    if len(rows):
        raise TableError(
            f"{label} holds a missing value (NaN) in row {rows[0]}, {len(rows)} in all. "
            "Drop those rows: a target must be known."
        )


def _refuse_infinite(rows: npt.NDArray[np.int64], label: str) -> None:
    if len(rows):
        found = f"{label} holds an infinite value (inf) in row {rows[0]}, {len(rows)} in all"
        raise TableError(f"{found}. Drop those rows.")
