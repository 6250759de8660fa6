"""What a caller has set in torch neither changes a fit nor is changed by it."""

# X is scikit-learn's name for a table.
# ruff: noqa: N806

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from identikit.errors import TableError
from identikit.tabular import ResNetRegressor
from identikit.tabular.surroundings import device_named, own_randomness, threads
from tabular.tables import SMALL, mixed

CPU = torch.device("cpu")


@contextlib.contextmanager
def default_double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "surroundings",
    [torch.no_grad, torch.inference_mode, lambda: torch.device("meta"), default_double],
    ids=["no_grad", "inference_mode", "meta", "double"],
)
def test_the_surroundings_change_nothing(surroundings: Any, tmp_path: Path) -> None:
    X, y = mixed()
    usual = ResNetRegressor(**SMALL).fit(X, y).partial_fit(X, y)
    with surroundings():
        model = ResNetRegressor(**SMALL).fit(X, y).partial_fit(X, y)
        twin = ResNetRegressor.load(model.save(tmp_path / "model"))
        inside = twin.predict(X)
    assert {value.dtype for value in model.network_.parameters()} == {torch.float32}
    assert np.array_equal(inside, usual.predict(X))
    assert np.array_equal(model.partial_fit(X, y).predict(X), usual.partial_fit(X, y).predict(X))


def test_nobody_s_random_numbers_change() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with own_randomness(1, CPU):
        first = torch.rand(1)
    with own_randomness(1, CPU):
        assert torch.equal(torch.rand(1), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    with threads(3):
        assert torch.get_num_threads() == 3
    with threads(5000):
        assert torch.get_num_threads() == 4
    with pytest.raises(ValueError, match="three"), threads(3):
        int("three")
    with threads(-1):
        assert torch.get_num_threads() >= 1
    assert torch.get_num_threads() == before


def test_threads_are_as_before() -> None:
    X, y = mixed()
    before = torch.get_num_threads()
    ResNetRegressor(**SMALL, n_jobs=2).fit(X, y).predict(X)
    assert torch.get_num_threads() == before


def test_a_device_that_is_not_there() -> None:
    assert device_named("auto").type in ("cpu", "cuda")
    with pytest.raises(TableError, match=r"^device='gpu' cannot be used \(.*\)\. Use \"cpu\", or \"auto\"\.$"):
        device_named("gpu")
    with pytest.raises(TableError, match=r"^device='meta' cannot be used"):
        device_named("meta")
