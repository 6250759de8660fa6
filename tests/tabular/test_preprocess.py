"""Gaps are filled and marked, categories counted off; what changes its kind after the fit is refused by column."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803, N806

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from identikit.errors import TableError
from identikit.tabular.columns import read_table
from identikit.tabular.preprocess import Preprocessor, fit_preprocessor

FRAME = pd.DataFrame(
    {
        "full": [1.0, 2.0, 3.0, 4.0],
        "gaps": [1.0, np.nan, 3.0, 5.0],
        "text": ["b", "a", "b", "a"],
        "maybe": ["x", None, "x", "y"],
    }
)


def fitted(X: Any = FRAME, scaling: str | None = None) -> Preprocessor:
    return fit_preprocessor(read_table(X), scaling, np.random.RandomState(0))


def test_gaps_get_the_median_and_a_mark() -> None:
    numbers, _ = fitted()(read_table(FRAME))
    assert numbers.tolist() == [[1, 1, 0], [2, 3, 1], [3, 3, 0], [4, 5, 0]]
    assert numbers.dtype == torch.float32


def test_a_gap_in_a_column_that_had_none_gets_the_median() -> None:
    later = FRAME.assign(full=[np.nan] * 4)
    assert fitted()(read_table(later))[0][:, 0].tolist() == [2] * 4


def test_categories_are_counted_from_1_missing_is_one_and_0_is_unknown() -> None:
    known = fitted()
    assert known.categories == {2: ("a", "b"), 3: ("x", "y", None)}
    assert known.sizes == (2, 3)
    later = FRAME.assign(text=["a", "b", "new", None], maybe=["x", "y", None, "new"])
    assert known(read_table(later))[1].tolist() == [[1, 1], [2, 2], [0, 3], [0, 0]]


def test_bools_and_codes_are_known_by_their_value() -> None:
    known = fitted(pd.DataFrame({"a": [True, False], "b": pd.Categorical([3, 1])}))
    later = np.array([[True, 1], [False, 3]], dtype=object)
    assert known.categories == {0: (False, True), 1: (1, 3)}
    assert known(read_table(later, categorical=known.categorical))[1].tolist() == [[2, 1], [1, 2]]


def test_no_categories_and_no_numbers() -> None:
    assert fitted(FRAME[["full"]])(read_table(FRAME[["full"]]))[1] is None
    numbers, codes = fitted(FRAME[["text"]])(read_table(FRAME[["text"]]))
    assert numbers.shape == (4, 0)
    assert codes.shape == (4, 1)


@pytest.mark.parametrize("nothing", [[np.nan] * 4, [None] * 4, pd.array([None] * 4, dtype="string")])
def test_a_column_without_a_single_value_is_left_out_whatever_comes(nothing: Any) -> None:
    known = fitted(FRAME.assign(text=nothing))
    assert known.numbers == (0, 1)
    assert known.marked == (1,)
    assert known.categories == {3: ("x", "y", None)}
    for later in (["a"] * 4, [1, 2, 3, 4], nothing):
        numbers, codes = known(read_table(FRAME.assign(text=later), categorical=known.categorical))
        assert numbers.equal(fitted()(read_table(FRAME))[0])
        assert codes.tolist() == [[1], [3], [1], [2]]


def test_a_table_without_a_single_value() -> None:
    with pytest.raises(TableError) as caught:
        fitted([[None], [None]])
    assert str(caught.value) == "X holds no value: every cell is missing. Give at least one column with values."


@pytest.mark.parametrize(
    ("column", "scaling"),
    [
        (1.7e9 + np.arange(4), None),
        (np.array([-1.7e308, -1.7e308, 1.7e308, 1.7e308]), "robust"),
        (np.array([-1.7e308, -1.7e308, 0, 1.7e308, 1.7e308]), "robust"),
    ],
)
def test_a_column_that_would_be_lost_is_refused(column: Any, scaling: str | None) -> None:
    X = pd.DataFrame({"full": column})
    with pytest.raises(TableError) as caught:
        fitted(X, scaling)
    assert str(caught.value) == (
        f'column "full" holds numbers too large for float32 with scaling={scaling!r}. Use scaling="quantile".'
    )
    fitted(X, "quantile")


def test_years_and_days_are_no_such_columns() -> None:
    fitted(FRAME.assign(full=[2019, 2020, 2021, 2022]))
    fitted(FRAME.assign(full=1.7e9 + 86400 * np.arange(4)))


def test_a_column_of_numbers_may_come_without_any() -> None:
    for nothing in ([None] * 4, pd.Categorical([None] * 4)):
        assert fitted()(read_table(FRAME.assign(gaps=nothing)))[0][:, 1].tolist() == [3] * 4


def test_the_probe_runs_through_it_and_shows_every_case() -> None:
    known = fitted(scaling="quantile")
    numbers, codes = known(known.probe())
    assert numbers.shape == (16, 3)
    assert numbers[:, 2].sum() == 1
    assert set(codes[:, 1].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (
            FRAME.assign(full=["a"] * 4),
            "column \"full\" held numbers when the estimator was fitted and holds 'a' now. Give numbers, or fit again.",
        ),
        (
            FRAME.assign(text=[1, 2, 3, 4]),
            'column "text" held text when the estimator was fitted and holds 1 now. Give text, or fit again.',
        ),
        (
            FRAME.assign(codes=["1", "2", "1", "2"]),
            "column \"codes\" held numbers when the estimator was fitted and holds '1' now. "
            "Give numbers, or fit again.",
        ),
        (
            FRAME.assign(flag="True"),
            "column \"flag\" held bools when the estimator was fitted and holds 'True' now. Give bools, or fit again.",
        ),
        (
            FRAME.assign(gaps=[1e300] * 4),
            'column "gaps" holds numbers too large for float32 with scaling=None. Use scaling="quantile".',
        ),
    ],
)
def test_columns_that_are_no_longer_what_they_were(later: pd.DataFrame, text: str) -> None:
    X = FRAME.assign(codes=pd.Categorical([1, 2, 1, 2]), flag=[True, False, True, False])
    known = fitted(X)
    with pytest.raises(TableError) as caught:
        known(read_table(X.assign(**{name: later[name] for name in later}), categorical=known.categorical))
    assert str(caught.value) == text
