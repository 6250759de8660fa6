"""Arguments that cannot be meant are refused when fit is called, in one line, before anything is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from identikit.errors import TableError
from identikit.tabular import ResNetRegressor
from identikit.tabular.options import Options, check_options


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("blocks", 0, "no whole number from 1 up"),
        ("width", 2.5, "no whole number from 1 up"),
        ("hidden", "auto", "no whole number from 1 up"),
        ("batch_size", 1, "no whole number from 2 up"),
        ("batch_size", "all", "no whole number from 2 up"),
        ("max_epochs", True, "no whole number from 1 up"),
        ("patience", None, "no whole number from 1 up"),
        ("dropout", 1.0, "no share from 0 up to 1"),
        ("residual_dropout", -0.5, "no share from 0 up to 1"),
        ("validation_fraction", 0, "no share between 0 and 1"),
        ("learning_rate", float("nan"), "no number above 0"),
        ("learning_rate", float("inf"), "no number above 0"),
        ("weight_decay", "0", "no number from 0 up"),
        ("n_jobs", 0, "no number of threads. Give 1 or more, -1 for all processors, or None"),
        ("early_stopping", 1, "neither True nor False"),
        ("batch_size", np.array([32, 64]), "no whole number from 2 up"),
        ("progress", "x", "neither True, False nor None"),
    ],
)
def test_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(TableError) as caught:
        ResNetRegressor(**{name: value}).fit(None, None)
    assert str(caught.value) == f"{name}={value!r} is {words}."


@pytest.mark.parametrize(
    "given",
    [{}, {"hidden": 5}, {"batch_size": 64}, {"dropout": 0}, {"weight_decay": 0}, {"n_jobs": -1}, {"scaling": None}],
)
def test_let_through(given: dict[str, Any]) -> None:
    check_options(Options(**given).get_params())
