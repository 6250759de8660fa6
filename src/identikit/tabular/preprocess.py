"""From a table to what the network takes: gaps filled and marked, numbers scaled, categories counted off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import nn

from identikit.errors import TableError
from identikit.tabular.cells import Column, holds_numbers, is_number
from identikit.tabular.columns import Table
from identikit.tabular.scaling import fit_scaler

_FAR = 3e38  # float32 holds it
_ROUNDING = 2.0**-24  # of a number, in float32
_LOST = 0.01  # of a column's standard deviation
#: What is known of a category: text, a bool, a number, or None where a missing value is a category of its own.
Category = object


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """What was learned of a table's columns. Called with a table, it gives numbers and codes for the network.

    `numbers`: which columns hold numbers. `fill`: what stands in for a missing one, the column's median. `marked`:
    those that had missing values when this was learned; each has a column of its own behind the numbers, 1 where one is
    missing. `categories`: for each other column, its categories in the order of their codes, which begin at 1; None
    among them if values were missing. A category that is not among them has the code 0. A column that held no value at
    all is in neither: nothing is known of it, and it is left out.
    """

    labels: tuple[str, ...]
    numbers: tuple[int, ...]
    marked: tuple[int, ...]
    fill: torch.Tensor
    scaling: str | None
    scaler: nn.Module
    categories: Mapping[int, tuple[Category, ...]]

    @property
    def in_features(self) -> int:
        """How many columns of numbers the network gets."""
        return len(self.numbers) + len(self.marked)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many categories each column of them has."""
        return tuple(len(known) for known in self.categories.values())

    @property
    def categorical(self) -> tuple[int, ...]:
        """The columns of later tables to read as categories, whatever they hold then."""
        return tuple(number for number in range(len(self.labels)) if number not in self.numbers)

    def __call__(self, table: Table) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`[rows, in_features]` in float32, and `[rows, columns of categories]` or None where there are none.

        Raises TableError where a column is not of the kind it was, or too large for float32 as scaled.
        """
        raw = _numbers_of(table, self.numbers)
        missing = raw.isnan()
        scaled = self.scaler(torch.where(missing, self.fill, raw))
        marks = [missing[:, self.numbers.index(number), None] for number in self.marked]
        numbers = torch.cat([scaled, *marks], dim=1).float()
        self._refuse((~numbers.isfinite()).any(dim=0), table)
        codes = [_codes(table, number, known) for number, known in self.categories.items()]
        return numbers, torch.stack(codes, dim=1) if codes else None

    def check_resolution(self, table: Table) -> None:
        """Raise TableError where, scaled, rounding to float32 would blur what tells a column's values apart."""
        raw = _numbers_of(table, self.numbers)
        raw = torch.where(raw.isnan(), self.fill, raw)
        scaled = self.scaler(raw)
        sharp = _ROUNDING * scaled.abs().amax(dim=0) < _LOST * scaled.std(dim=0, correction=0)  # NaN is not
        self._refuse(~sharp & (raw.amax(dim=0) > raw.amin(dim=0)), table)

    def _refuse(self, bad: torch.Tensor, table: Table) -> None:
        for position in bad.nonzero().flatten().tolist()[:1]:
            raise TableError(
                f"{table.labels[self.numbers[position]]} holds numbers too large for float32 with "
                f'scaling={self.scaling!r}. Use scaling="quantile".'
            )

    def probe(self, rows: int = 16) -> Table:
        """A made-up table of this kind: numbers around what is usual, every way to be missing, categories in turn."""
        columns: list[Column] = []
        for number in range(len(self.labels)):
            if number in self.numbers:
                usual = float(self.fill[self.numbers.index(number)])
                column = (usual + (1 + abs(usual)) * np.linspace(-2, 2, rows)).clip(-_FAR, _FAR)
                column[0] = np.nan
            else:
                cycle = [*self.categories.get(number, ()), None, object()]  # the last was never seen
                column = np.empty(rows, dtype=object)
                column[:] = [cycle[row % len(cycle)] for row in range(rows)]
            columns.append(column)
        return Table(tuple(columns), self.labels, rows)


def fit_preprocessor(table: Table, scaling: str | None, random: np.random.RandomState) -> Preprocessor:
    """Learn the columns of `table`. Raises TableError where they hold nothing, or what float32 cannot tell apart."""
    seen = [number for number, column in enumerate(table.columns) if not _missing(column).all()]
    if not seen:
        raise TableError("X holds no value: every cell is missing. Give at least one column with values.")
    numbers = tuple(number for number in seen if holds_numbers(table.columns[number]))
    raw = _numbers_of(table, numbers)
    missing = raw.isnan()
    fill = torch.tensor([float(column[~column.isnan()].median()) for column in raw.T], dtype=torch.float64)
    scaler = fit_scaler(scaling if numbers else None, torch.where(missing, fill, raw), random)
    marked = tuple(number for number, gaps in zip(numbers, missing.T, strict=True) if gaps.any())
    categories = {number: _categories(table.columns[number]) for number in seen if number not in numbers}
    found = Preprocessor(table.labels, numbers, marked, fill, scaling, scaler, categories)
    if numbers:
        found.check_resolution(table)
    return found


def _missing(column: Column) -> Column:
    return np.isnan(column) if holds_numbers(column) else np.array([cell is None for cell in column])


def _numbers_of(table: Table, numbers: tuple[int, ...]) -> torch.Tensor:
    stacked = np.empty((table.rows, len(numbers)))
    for position, number in enumerate(numbers):
        column = table.columns[number]
        if not holds_numbers(column):
            other = next((cell for cell in column if cell is not None), None)
            if other is not None:
                raise _another_kind(table.labels[number], "numbers", other)
            column = np.full(table.rows, np.nan)
        stacked[:, position] = column
    return torch.from_numpy(stacked)


def _categories(column: Column) -> tuple[Category, ...]:
    """The values of the column: text and numbers sorted, other objects as they come; None last."""
    known = list(dict.fromkeys(cell for cell in column if cell is not None))
    if all(isinstance(each, str) for each in known) or all(isinstance(each, Real) for each in known):
        known.sort()
    return (*known, None) if any(cell is None for cell in column) else tuple(known)


def _codes(table: Table, number: int, known: tuple[Category, ...]) -> torch.Tensor:
    """The code of each cell. A text among numbers, or a number among texts, is no new category but a mistake."""
    cells, label = table.columns[number], table.labels[number]
    words = {_word(each) for each in known if each is not None}
    code = {category: number for number, category in enumerate(known, start=1)}
    for cell in dict.fromkeys(cells):
        if words == {"text"} and _word(cell) in ("numbers", "bools"):
            raise _another_kind(label, "text", cell)
        if words and words <= {"numbers", "bools"} and _word(cell) == "text":
            raise _another_kind(label, " and ".join(sorted(words)), cell)
    return torch.tensor([code.get(cell, 0) for cell in cells], dtype=torch.long)


def _word(cell: object) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, bool | np.bool_):
        return "bools"
    return "numbers" if is_number(type(cell)) else "other"


def _another_kind(label: str, before: str, now: object) -> TableError:
    return TableError(
        f"{label} held {before} when the estimator was fitted and holds {now!r} now. Give {before}, or fit again."
    )
