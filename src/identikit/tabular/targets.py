"""What a fit is to learn: labels as numbers of classes, values standardised; and what a target must not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from identikit.errors import TableError
from identikit.tabular.columns import holds_numbers, read_table


def check_given(y: Any, rows: int, estimator: str) -> None:
    """Raise TableError where `y` is missing or of another length than the table."""
    if y is None:
        raise TableError(f"{estimator} requires y to be passed, but the target y is None.")
    if not hasattr(y, "__len__") and not hasattr(y, "__array__"):
        raise TableError(f"y is of the type {type(y).__name__}, and one target for each row is needed.")
    length = len(_cells(y))
    if length != rows:
        raise TableError(f"X has {rows} rows and y {length}. Give one target for each row.")


def is_single(y: Any) -> bool:
    """Whether the target is one value a row, not a table of them."""
    return _cells(y).ndim == 1


def read_values(y: Any) -> npt.NDArray[np.float64]:
    """A regression's target as `[rows, outputs]`. Raises TableError where a value is missing, infinite or no number."""
    frame = hasattr(y, "iloc") and hasattr(y, "columns")
    cells = _cells(y)
    table = read_table(y if frame else cells[:, None] if cells.ndim == 1 else cells, what="y")
    for column, label in zip(table.columns, table.labels, strict=True):
        if not holds_numbers(column):
            raise TableError(f"{label} holds {column[0]!r}, and a regression needs numbers.")
        missing = np.flatnonzero(np.isnan(column))
        if missing.size:
            raise TableError(_missing(label, int(missing[0]), missing.size))
    return np.stack(table.columns, axis=1)


def read_labels(y: Any) -> npt.NDArray[Any]:
    """A classification's target as `[rows]`. Raises TableError where a label is missing or infinite.

    A single column is taken with scikit-learn's warning; what is no set of classes is refused in its words.
    """
    values = _cells(y)
    if values.dtype.kind == "c":
        raise TableError("Complex data not supported: y holds complex numbers.")
    missing = np.flatnonzero([cell is None or type(cell).__name__ == "NAType" or cell != cell for cell in values.flat])
    if missing.size:
        raise TableError(_missing("y", int(missing[0]), missing.size))
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise TableError(
            f"y holds an infinite value (inf) in row {int(np.argmax(np.isinf(values.reshape(-1))))}. Drop those rows."
        )
    check_classification_targets(values)
    labels: npt.NDArray[Any] = column_or_1d(values, warn=True)
    return labels


def numbered(labels: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The number of each label's class. Raises TableError for a label that is none of `classes`."""
    number = {label: position for position, label in enumerate(classes.tolist())}
    found = np.array([number.get(label, -1) for label in labels.tolist()], dtype=np.int64)
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        known = ", ".join(map(repr, classes.tolist()[:5])) + (", ..." if len(classes) > 5 else "")
        raise TableError(f"y holds {labels.tolist()[row]!r} in row {row}, which is none of the classes ({known}).")
    return found


def _cells(y: Any) -> npt.NDArray[Any]:
    return np.asarray(y if hasattr(y, "__array__") else list(y))


def _missing(label: str, row: int, count: int) -> str:
    return f"{label} holds a missing value (NaN) in row {row}, {count} in all. Drop those rows: a target must be known."
