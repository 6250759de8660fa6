"""What a table's columns are: numbers or categories, what is missing, and each thing that is refused, in one line."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803, N806

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from identikit.errors import CellError, TableError
from identikit.tabular.cells import holds_numbers
from identikit.tabular.columns import read_table


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
    cells = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, Decimal("nan"), Decimal("snan"), "a"]
    frame = pd.DataFrame({"a": pd.Series(cells, dtype=object)})
    assert read_table(frame).columns[0].tolist() == [None] * 7 + ["a"]


def test_decimals_are_numbers() -> None:
    (column,) = read_table([[Decimal("1.5")], [2], [Decimal("NaN")]]).columns
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, [1.5, 2, np.nan])


def test_a_masked_cell_is_missing() -> None:
    X = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    np.testing.assert_array_equal(np.stack(read_table(X).columns, axis=1), [[1, np.nan], [3, 4]])
    assert read_table(X[1:]).columns[1].tolist() == [4]


def test_a_column_of_nothing_is_of_numbers() -> None:
    assert kinds([[None, "a"], [None, "b"]]) == "nc"


def test_whole_numbers_beyond_what_floats_tell_apart_stay_categories_of_their_own() -> None:
    large = [[2**62], [2**62 + 1]]
    for X in (np.array(large), pd.DataFrame(large), large, np.array(large, dtype=object)):
        assert read_table(X, categorical=[0]).columns[0].tolist() == [2**62, 2**62 + 1]


def test_a_table_of_pyarrow() -> None:
    pa = pytest.importorskip("pyarrow")
    table = read_table(pa.table({"a": [1, None], "b": ["x", None], "flag": [True, False]}))
    assert table.labels == ('column "a"', 'column "b"', 'column "flag"')
    np.testing.assert_array_equal(table.columns[0], [1, np.nan])
    assert [column.tolist() for column in table.columns[1:]] == [["x", None], [True, False]]


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
        (
            np.array([["2020-01-01"]], dtype="datetime64[ns]"),
            "column 0 holds dates or times (datetime64[ns]). Give numbers instead: the year, the month, or the seconds "
            "since a fixed day.",
        ),
        (
            pd.DataFrame({"day": pd.Categorical(pd.to_datetime(["2020-01-01"]))}),
            'column "day" holds dates or times (Timestamp). Give numbers instead: the year, the month, or the seconds '
            "since a fixed day.",
        ),
        (
            pd.DataFrame({"kind": pd.Categorical([1.0, np.inf])}),
            'column "kind" holds an infinite value (inf) in row 1, 1 in all. '
            "Put NaN there, which is a missing value, or drop those rows.",
        ),
        (
            [[1.0], [10**400]],
            "column 0 holds an infinite value (inf) in row 1, 1 in all. "
            "Put NaN there, which is a missing value, or drop those rows.",
        ),
        (
            np.zeros((2, 1), dtype=[("a", float), ("b", float)]),
            "X is a structured array. Give a data frame: pandas.DataFrame(X).",
        ),
        ([[1, 2], [3]], "X has rows of different shapes: [2] in row 0, [1] in row 1."),
        ([np.zeros(2), np.zeros(3)], "X has rows of different shapes: [2] in row 0, [3] in row 1."),
        (torch.zeros(2, 2, device="meta"), "a tensor on the device meta holds no values. Give one with values."),
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


def test_tensors_are_tables() -> None:
    given = torch.tensor([[1.5, 2.0]], requires_grad=True)
    for X in (given, given.bfloat16()):
        assert [column.tolist() for column in read_table(X).columns] == [[1.5], [2.0]]
