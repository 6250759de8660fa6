"""A target is known in every row; what is missing, infinite or of another length is refused with its row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from identikit.errors import TableError
from identikit.tabular.targets import check_given, is_single, numbered, read_labels, read_values


@pytest.mark.parametrize(
    "y",
    [
        [1, 2],
        [Decimal(1), Decimal(2)],
        torch.tensor([1.0, 2.0], requires_grad=True),
        np.array([1.0, 2.0]),
        pd.Series([1, 2]),
        pd.Series([1, 2], dtype="Int64"),
        np.array([1, 2], dtype=object),
    ],
)
def test_values_of_one_output(y: Any) -> None:
    assert read_values(y).tolist() == [[1.0], [2.0]]
    assert is_single(y)


@pytest.mark.parametrize("y", [[[1, 2], [3, 4]], pd.DataFrame({"a": [1, 3], "b": [2, 4]})])
def test_values_of_several_outputs(y: Any) -> None:
    assert read_values(y).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert not is_single(y)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (
            [1, np.nan, None],
            "y holds a missing value (NaN) in row 1, 2 in all. Drop those rows: a target must be known.",
        ),
        (
            pd.DataFrame({"size": [1, 2], "price": [1, np.inf]}),
            'y, column "price" holds an infinite value (inf) in row 1, 1 in all. Drop those rows.',
        ),
        ([1, np.inf], "y holds an infinite value (inf) in row 1, 1 in all. Drop those rows."),
        (
            [[1, np.nan]],
            "y, column 1 holds a missing value (NaN) in row 0, 1 in all. Drop those rows: a target must be known.",
        ),
        (["a", "b"], "y holds 'a' in row 0, and a regression needs numbers."),
        (np.array(["1", "2"]), "y holds '1' in row 0, and a regression needs numbers."),
        (
            np.ma.array([1.0, 2.0], mask=[False, True]),
            "y holds a missing value (NaN) in row 1, 1 in all. Drop those rows: a target must be known.",
        ),
        (np.zeros((2, 1, 1)), "y has the shape [2, 1, 1]. Give one value for each row, or several: [rows, outputs]."),
        (np.zeros((2, 0)), "y has the shape [2, 0]. Give one value for each row, or several: [rows, outputs]."),
        ([[1, 2], [3]], "y has rows of different shapes: [2] in row 0, [1] in row 1."),
    ],
)
def test_values_refused(y: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        read_values(y)
    assert str(caught.value) == text


@pytest.mark.parametrize("y", [["a", "b"], np.array([True, False]), pd.Series(["a", "b"], dtype="category"), [1, 2]])
def test_labels(y: Any) -> None:
    assert read_labels(y).tolist() == list(y)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (
            ["a", None],
            "y holds a missing value (NaN) in row 1, 1 in all. Drop those rows: a target must be known.",
        ),
        (
            pd.Series([1, None], dtype="Int64"),
            "y holds a missing value (NaN) in row 1, 1 in all. Drop those rows: a target must be known.",
        ),
        ([1.0, np.inf], "y holds an infinite value (inf) in row 1, 1 in all. Drop those rows."),
        (
            np.ma.array([1, 2], mask=[False, True]),
            "y holds a missing value (NaN) in row 1, 1 in all. Drop those rows: a target must be known.",
        ),
    ],
)
def test_labels_refused(y: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        read_labels(y)
    assert str(caught.value) == text


def test_labels_are_numbered() -> None:
    classes = np.array(["a", "b"])
    assert numbered(np.array(["b", "a", "b"]), classes).tolist() == [1, 0, 1]
    with pytest.raises(TableError) as caught:
        numbered(np.array(["a", "c"]), classes)
    assert str(caught.value) == "y holds 'c' in row 1, which is none of the classes ('a', 'b')."


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (None, "Net requires y to be passed, but the target y is None."),
        ([1, 2], "X has 3 rows and y 2. Give one target for each row."),
        (np.array(3.0), "y is a single value (3.0), and one target for each row is needed."),
        (
            sparse.csr_matrix(np.eye(3)),
            "y is a sparse matrix, and a dense target is needed. Convert it: y.toarray().",
        ),
        (5, "y is of the type int, and one target for each row is needed."),
    ],
)
def test_of_another_length(y: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        check_given(y, 3, "Net")
    assert str(caught.value) == text


def test_the_rows_to_stop_by_have_their_own_name() -> None:
    with pytest.raises(TableError) as caught:
        check_given([1, 2], 3, "Net", "_val")
    assert str(caught.value) == "X_val has 3 rows and y_val 2. Give one target for each row."
    with pytest.raises(TableError, match=r"^y_val holds a missing value"):
        read_labels(["a", None], "y_val")
