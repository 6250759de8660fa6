"""The values of a column checked and as tensors: no holes, labels as the model numbers them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from identikit.errors import DataError, did_you_mean
from identikit.sources.opened import CLASSIFIER, EMBEDDING, Opened
from identikit.sources.tables import Table, is_number


def texts_of(table: Table, column: str) -> list[str]:
    """The texts of a column. Raises DataError where one is missing or blank."""
    values = table[column]
    if kind := next((type(value).__name__ for value in values if value is not None and not isinstance(value, str)), ""):
        raise DataError(f'column "{column}" of "{table.name}" holds {kind}, not text. Name another: --text COLUMN.')
    _refuse_holes(table, column, [value is None or not value.strip() for value in values], "has no text in")
    return [str(value) for value in values]


def target_of(table: Table, column: str, opened: Opened) -> torch.Tensor:
    """The target of each row: class numbers for a classifier, else numbers.

    Raises DataError for a row without one, and for a label that the model does not know.
    """
    values = table[column]
    feature = table.rows.features[column]
    if type(feature).__name__ == "ClassLabel" and _known(feature.names, opened):
        values = [None if value is None else feature.int2str(value) for value in values]  # the model's own numbering
    _refuse_holes(table, column, [_is_hole(value) for value in values], "has no number in")
    if opened.task in (*CLASSIFIER, "image-classification") and not opened.regression:
        return torch.tensor(_classes(table, column, values, opened))
    numbers = [float(value) if isinstance(value, str) and is_number(value) else value for value in values]
    word = next((value for value in numbers if not isinstance(value, (int, float))), None)
    if word is not None:
        raise DataError(
            f'target "{column}" of "{table.name}" holds {_short(word)}, and this model has no labels by name. '
            "Give a column of numbers: --target COLUMN."
        )
    whole = all(isinstance(value, int) for value in numbers)
    real = opened.task in EMBEDDING or opened.regression or not whole
    return torch.tensor(numbers, dtype=torch.float32 if real else torch.long)


def _classes(table: Table, column: str, values: Sequence[Any], opened: Opened) -> list[int]:
    """Class numbers, from numbers or from the model's names of its classes (upper or lower case)."""
    numbers = {label.lower(): number for label, number in opened.labels.items()}
    count = len(opened.labels)
    found: list[int] = []
    for row, value in enumerate(values, start=1):
        if isinstance(value, str) and value.strip().lower() in numbers:
            found.append(numbers[value.strip().lower()])
            continue
        if not is_number(value):
            listed = ", ".join(list(opened.labels)[:8])
            raise DataError(
                f'target "{column}" of "{table.name}": row {row} is {_short(value)}, which is no label of the model.'
                f"{did_you_mean(str(value), opened.labels)} Its labels: {listed}. Use these, or their numbers."
            )
        number = float(value)
        if not number.is_integer() or not 0 <= number < count:
            raise DataError(
                f'target "{column}" of "{table.name}": row {row} is {value}; '
                f"the model has {count} classes, 0 to {count - 1}. Name the column of labels: --target COLUMN."
            )
        found.append(int(number))
    return found


def _known(names: Sequence[str], opened: Opened) -> bool:
    """Whether every name of a table's classes is a label of the model."""
    return {name.lower() for name in names} <= {label.lower() for label in opened.labels}


def _is_hole(value: Any) -> bool:
    """Whether a value is missing: nothing, not a number, or a word that says so."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "na", "n/a", "null", "none")):
        return True
    return isinstance(value, float) and not math.isfinite(value)


def _refuse_holes(table: Table, column: str, holes: Sequence[bool], what: str) -> None:
    """Raise DataError where a row lacks a value."""
    if any(holes):
        raise DataError(
            f'row {list(holes).index(True) + 1} of "{table.name}" {what} "{column}" '
            f"({sum(holes)} of {len(holes)} rows). Fill these rows or take them out."
        )


def _short(value: Any) -> str:
    """A value for a message."""
    text = str(value)
    return f'"{text[:40]}..."' if len(text) > 40 else f'"{text}"'
