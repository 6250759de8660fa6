"""`categorical_features` names columns by name, number or mask; what names none is one clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from identikit.errors import TableError
from identikit.tabular.chosen import chosen_columns
from identikit.tabular.grid import read_grid

FRAME = pd.DataFrame({"age": [1], "city": ["x"]})


@pytest.mark.parametrize(
    ("chosen", "found"),
    [(None, ()), (["city"], (1,)), ("age", (0,)), ([1, 0], (1, 0)), (np.array([False, True]), (1,)), ([], ())],
)
def test_columns_are_chosen_by_name_number_or_mask(chosen: Any, found: tuple[int, ...]) -> None:
    assert chosen_columns(chosen, read_grid(FRAME)) == found


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (["cit"], "categorical_features names 'cit', which is no column of X. Did you mean \"city\"?"),
        ([2], "categorical_features names 2, which is no column of X."),
        (1, "categorical_features=1 is no list. Give one: categorical_features=[1]."),
        ([True], "categorical_features is a mask of 1 columns, and X has 2."),
    ],
)
def test_columns_that_do_not_exist(chosen: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        chosen_columns(chosen, read_grid(FRAME))
    assert str(caught.value) == text
