"""Which columns `categorical_features` means: by name, by number, or by a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from identikit.errors import TableError, did_you_mean
from identikit.tabular.grid import Grid


def chosen_columns(chosen: Any, grid: Grid) -> tuple[int, ...]:
    """The numbers of the columns that `categorical_features` names. Raises TableError for one that is not there."""
    if chosen is None:
        return ()
    if not isinstance(chosen, str) and (not hasattr(chosen, "__iter__") or np.ndim(chosen) != 1):
        raise TableError(f"categorical_features={chosen!r} is no list. Give one: categorical_features=[{chosen!r}].")
    given = [chosen] if isinstance(chosen, str) else list(chosen)
    if given and all(isinstance(each, bool | np.bool_) for each in given):
        if len(given) != len(grid.columns):
            raise TableError(f"categorical_features is a mask of {len(given)} columns, and X has {len(grid.columns)}.")
        return tuple(int(number) for number in np.flatnonzero(given))
    return tuple(_number(each, grid) for each in given)


def _number(each: Any, grid: Grid) -> int:
    names = list(grid.names or ())
    if each in names:
        return names.index(each)
    if isinstance(each, int | np.integer) and 0 <= each < len(grid.columns):
        return int(each)
    near = did_you_mean(each, [name for name in names if isinstance(name, str)]) if isinstance(each, str) else ""
    raise TableError(f"categorical_features names {each!r}, which is no column of X.{near}")
