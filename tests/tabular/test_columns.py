"""What a table's columns are: numbers or categories, what is missing, and each thing that is refused, in one line."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803, N806

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from identikit.errors import CellError, TableError
from identikit.tabular.columns import chosen_columns, holds_numbers, read_table


def kinds(X: Any, **options: Any) -> str:
    """One letter a column: n for numbers, c for categories."""
    return "".join("n" if holds_numbers(column) else "c" for column in read_table(X, **options).columns)


def test_each_kind_of_column_of_a_data_frame() -> None:
    frame = pd.DataFrame(
        {
            "integer": [1, 2, 3],
            "float": [1.0, np.nan, 3.0],
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "objects": pd.Series([1, 2.5, None], dtype=object),
            "text": ["a", None, "c"],
            "string": pd.array(["a", None, "c"], dtype="string"),
            "category": pd.Categorical(["a", "b", None]),
            "codes": pd.Categorical([3, 1, 3]),
            "bool": [True, False, True],
            "boolean": pd.array([True, None, False], dtype="boolean"),
        }
    )
    table = read_table(frame)
    assert kinds(frame) == "nnnncccccc"
    assert table.labels[:2] == ('column "integer"', 'column "float"')
    assert [column[1] is None or column[1] != column[1] for column in table.columns] == [
        *(False, True, True, False, True, True, False, False, False, True)
    ]
    assert table.columns[2].tolist()[::2] == [1.0, 3.0]
    assert table.columns[7].tolist() == [3, 1, 3]


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (np.zeros((2, 3), dtype=np.int8), "nnn"),
        (np.zeros((2, 2), dtype=bool), "cc"),
        (np.array([["a", "b"], ["c", "d"]]), "cc"),
        (np.array([[1.5, "a"], [None, "b"]], dtype=object), "nc"),
        ([[1, "a"], [2, None]], "nc"),
        ([[1.0, 2.0], [3.0, 4.0]], "nn"),
    ],
)
def test_arrays_and_lists(X: Any, expected: str) -> None:
    assert kinds(X) == expected


def test_every_way_to_be_missing_is_one() -> None:
    cells = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, "a"]
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
    assert read_table(frame).columns[0].tolist() == [None] * 5 + ["a"]


def test_numbers_that_are_categories_are_said_so() -> None:
    table = read_table(np.array([[1.0, 2.0], [np.nan, 3.0]]), categorical=[0])
    assert table.columns[0].tolist() == [1.0, None]
    assert holds_numbers(table.columns[1])


def test_a_mixed_column_may_be_meant() -> None:
    assert read_table([[1], ["a"]], categorical=[0]).columns[0].tolist() == [1, "a"]


def test_the_table_handed_in_is_not_edited() -> None:
    X = np.array([[1.0, np.nan]])
    table = read_table(X)
    table.columns[0][:] = 5
    assert X[0, 0] == 1.0


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (
            np.array([[1.0, 2.0], [3.0, np.inf], [0.0, -np.inf]]),
            "column 1 holds an infinite value (inf) in row 1, 2 in all. "
            "Put NaN there, which is a missing value, or drop those rows.",
        ),
        (
            pd.DataFrame({"age": [1.0, np.inf]}),
            'column "age" holds an infinite value (inf) in row 1, 1 in all. '
            "Put NaN there, which is a missing value, or drop those rows.",
        ),
        (
            [[3], ["x"]],
            "column 0 mixes numbers (3) and categories ('x'). Make it one kind: .astype(str), or "
            'pandas.to_numeric(..., errors="coerce").',
        ),
        (
            np.array([["1", "a"], ["2", "b"]]),
            "column 0 holds numbers written as text ('1'), as numpy makes them of a mixed table. Give a data frame or "
            "np.array(rows, dtype=object); or, where these are categories, say so: categorical_features=[0].",
        ),
        (
            pd.DataFrame({"day": pd.to_datetime(["2020-01-01"])}),
            'column "day" holds dates or times (Timestamp). Give numbers instead: the year, the month, or the seconds '
            "since a fixed day.",
        ),
        (
            [[datetime.timedelta(1)]],
            "column 0 holds dates or times (timedelta). Give numbers instead: the year, the month, or the seconds "
            "since a fixed day.",
        ),
        (
            np.array([[1j]]),
            "Complex data not supported: column 0 holds complex numbers. Give real and imaginary part as two columns.",
        ),
        (
            pd.DataFrame({"a": [1j]}),
            'Complex data not supported: column "a" holds complex numbers. '
            "Give real and imaginary part as two columns.",
        ),
        (
            sparse.csr_matrix(np.eye(2)),
            "X is a sparse matrix, and a dense table is needed. Convert it: X.toarray().",
        ),
        (
            np.zeros(3),
            "X has 1 dimension, and a table has 2. Reshape your data: X.reshape(-1, 1) where it is one column, "
            "X.reshape(1, -1) where it is one row.",
        ),
        (np.zeros((3, 0)), "X has 0 feature(s) (shape=(3, 0)) while a minimum of 1 is required."),
        (np.zeros((0, 2)), "X has 0 rows (shape=(0, 2)) while a minimum of 1 is required."),
    ],
)
def test_what_is_refused(X: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        read_table(X)
    assert str(caught.value) == text


def test_a_cell_that_is_no_single_value() -> None:
    with pytest.raises(CellError) as caught:
        read_table(np.array([[1, "a"], [2, {"foo": "bar"}]], dtype=object))
    assert str(caught.value) == (
        "column 1, row 1: argument must be a string or a real number, found a dict. Give one value a cell."
    )
    assert isinstance(caught.value, TypeError)


FRAME = pd.DataFrame({"age": [1], "city": ["x"]})


@pytest.mark.parametrize(
    ("chosen", "found"),
    [(None, ()), (["city"], (1,)), ("age", (0,)), ([1, 0], (1, 0)), (np.array([False, True]), (1,)), ([], ())],
)
def test_columns_are_chosen_by_name_number_or_mask(chosen: Any, found: tuple[int, ...]) -> None:
    assert chosen_columns(chosen, FRAME) == found


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (["cit"], "categorical_features names 'cit', which is no column of X. Did you mean \"city\"?"),
        ([2], "categorical_features names 2, which is no column of X."),
        ([True], "categorical_features is a mask of 1 columns, and X has 2."),
    ],
)
def test_columns_that_do_not_exist(chosen: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        chosen_columns(chosen, FRAME)
    assert str(caught.value) == text
