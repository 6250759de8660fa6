"""From a table to what the network takes: gaps filled and marked, numbers scaled, categories counted off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from torch import nn

from identikit.errors import TableError
from identikit.nn import Identity
from identikit.tabular.columns import Column, Table, holds_numbers
from identikit.tabular.scaling import fit_scaler

_FAR = 3e38  # float32 holds it
#: What is known of a category: text, a bool, a number, or None where a missing value is a category of its own.
Category = object


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """What was learned of a table's columns. Called with a table, it gives numbers and codes for the network.

    `numbers`: which columns hold numbers. `fill`: what stands in for a missing one, the column's median. `marked`:
    those that had missing values when this was learned; each has a column of its own behind the numbers, 1 where one is
    missing. `categories`: for each other column, its categories in the order of their codes, which begin at 1; None
    among them if values were missing. A category that is not among them has the code 0.
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

    def __call__(self, table: Table) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`[rows, in_features]` in float32, and `[rows, columns of categories]` or None where there are none.

        Raises TableError where a column is not of the kind it was, or too large for float32 as scaled.
        """
        raw = _numbers_of(table, self.numbers)
        missing = raw.isnan()
        scaled = self.scaler(torch.where(missing, self.fill, raw)) if self.numbers else raw
        marks = [missing[:, self.numbers.index(number), None] for number in self.marked]
        numbers = torch.cat([scaled, *marks], dim=1).float()
        self._refuse_too_large(numbers)
        codes = [_codes(table, number, known) for number, known in self.categories.items()]
        return numbers, torch.stack(codes, dim=1) if codes else None

    def _refuse_too_large(self, numbers: torch.Tensor) -> None:
        bad = (~numbers.isfinite()).any(dim=0).nonzero().flatten().tolist()
        if bad:
            raise TableError(
                f"{self.labels[self.numbers[bad[0]]]} holds numbers too large for float32 with "
                f'scaling={self.scaling!r}. Use scaling="quantile".'
            )

    def probe(self, rows: int = 16) -> Table:
        """A made-up table of this kind: numbers around what is usual, every way to be missing, categories in turn."""
        columns: list[Column] = []
        for number in range(len(self.labels)):
            if number in self.categories:
                cycle = [*self.categories[number], None, "a category that was never seen"]
                column = np.empty(rows, dtype=object)
                column[:] = [cycle[row % len(cycle)] for row in range(rows)]
            else:
                usual = float(self.fill[self.numbers.index(number)])
                column = (usual + (1 + abs(usual)) * np.linspace(-2, 2, rows)).clip(-_FAR, _FAR)
                column[0] = np.nan
            columns.append(column)
        return Table(tuple(columns), self.labels, rows)


def fit_preprocessor(table: Table, scaling: str | None, random: np.random.RandomState) -> Preprocessor:
    """Learn the columns of `table`."""
    numbers = tuple(number for number, column in enumerate(table.columns) if holds_numbers(column))
    raw = _numbers_of(table, numbers)
    missing = raw.isnan()
    fill = torch.tensor([_median(column) for column in raw.T], dtype=torch.float64)
    scaler = fit_scaler(scaling, torch.where(missing, fill, raw), random) if numbers else Identity()
    marked = tuple(number for number, gaps in zip(numbers, missing.T, strict=True) if gaps.any())
    categories = {
        number: _categories(column) for number, column in enumerate(table.columns) if not holds_numbers(column)
    }
    return Preprocessor(table.labels, numbers, marked, fill, scaling, scaler, categories)


def _numbers_of(table: Table, numbers: tuple[int, ...]) -> torch.Tensor:
    stacked = np.empty((table.rows, len(numbers)))
    for position, number in enumerate(numbers):
        column = table.columns[number]
        found = None if holds_numbers(column) else next((cell for cell in column if cell is not None), None)
        if found is not None:
            raise TableError(
                f"{table.labels[number]} held numbers when the estimator was fitted and holds {found!r} now. "
                "Give numbers, or fit again."
            )
        stacked[:, position] = column if holds_numbers(column) else np.nan
    return torch.from_numpy(stacked)


def _median(column: torch.Tensor) -> float:
    """The lower one of two; 0 for a column without a single value, of which nothing can be learned."""
    seen = column[~column.isnan()]
    return float(seen.median()) if len(seen) else 0.0


def _categories(column: Column) -> tuple[Category, ...]:
    """The values of the column: text and numbers sorted, other objects as they come; None last."""
    known = list(dict.fromkeys(cell for cell in column if cell is not None))
    if all(isinstance(each, str) for each in known) or all(isinstance(each, Real) for each in known):
        known.sort()
    return (*known, None) if any(cell is None for cell in column) else tuple(known)


def _codes(table: Table, number: int, known: tuple[Category, ...]) -> torch.Tensor:
    column = table.columns[number]
    if holds_numbers(column) and any(isinstance(each, str) for each in known) and not np.isnan(column).all():
        raise TableError(
            f"{table.labels[number]} held text when the estimator was fitted and holds numbers now. "
            "Give text, or fit again."
        )
    code = {category: number for number, category in enumerate(known, start=1)}
    cells = (None if isinstance(cell, float) and cell != cell else cell for cell in column)
    return torch.tensor([code.get(cell, 0) for cell in cells], dtype=torch.long)
