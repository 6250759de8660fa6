"""Each way to scale columns does what its name says, on columns of every sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer

from identikit.errors import TableError
from identikit.nn import Pass
from identikit.tabular.scaling import SCALINGS, Quantile, fit_scaler, restored_scaler


def columns(rows: int = 500) -> torch.Tensor:
    """Normal, heavy-tailed, whole numbers, constant."""
    random = np.random.RandomState(0)
    made = [random.normal(size=rows), random.standard_cauchy(rows), random.randint(3, size=rows), np.full(rows, 7.0)]
    return torch.from_numpy(np.stack(made, axis=1))


def random() -> np.random.RandomState:
    return np.random.RandomState(1)


def test_quantile_makes_normal_columns_whatever_they_were() -> None:
    scaled = Quantile.fit(columns(), random())(columns())
    assert torch.allclose(scaled[:, :2].mean(dim=0), torch.zeros(2, dtype=torch.float64), atol=0.05)
    assert torch.allclose(scaled[:, :2].std(dim=0), torch.ones(2, dtype=torch.float64), atol=0.1)


def test_quantile_agrees_with_scikit_learn() -> None:
    data = columns(600)[:, :2]
    theirs = QuantileTransformer(n_quantiles=20, output_distribution="normal", random_state=0).fit_transform(data)
    ours = Quantile.fit(data, random())(data).numpy()
    middle = np.abs(theirs) < 1.5  # at the ends scikit-learn goes out to 5.2, ours to what 600 draws reach
    assert np.abs(ours - theirs)[middle].max() < 0.1


def test_quantile_puts_the_unseen_at_the_ends() -> None:
    scaler = Quantile.fit(columns(), random())
    ends = scaler(torch.tensor([[0.0, -1e300, -5.0, 7.0], [0.0, 1e300, 9.0, 7.0]], dtype=torch.float64))
    reach = torch.special.ndtri(torch.tensor(500 / 501, dtype=torch.float64))
    assert torch.allclose(ends[:, 1:3], torch.stack([-reach.expand(2), reach.expand(2)]))


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
@pytest.mark.parametrize("value", [7.0, 0.1, 0.0, -1e300])
def test_a_constant_says_nothing_later(scaling: str, value: float) -> None:
    scaler = fit_scaler(scaling, torch.full((500, 1), value, dtype=torch.float64), random())
    later = torch.tensor([[value], [value + 1e-7], [-5.0], [1e9]], dtype=torch.float64)
    assert scaler(later).abs().max() == 0


def test_standard_of_far_numbers_overflows_nothing() -> None:
    data = torch.tensor([[1e200], [-1e200], [3e200]], dtype=torch.float64)
    scaled = fit_scaler("standard", data, random())(data)
    assert torch.allclose(scaled, fit_scaler("standard", data / 1e200, random())(data / 1e200))


@given(st.lists(st.floats(-1.7e308, 1.7e308), min_size=2, max_size=40))
def test_quantile_keeps_the_order_and_is_finite(values: list[float]) -> None:
    data = torch.tensor(values, dtype=torch.float64)[:, None]
    scaled = Quantile.fit(data, random())(data)[:, 0]
    assert scaled.isfinite().all()
    assert (scaled[data[:, 0].argsort()].diff() >= 0).all()


def test_standard() -> None:
    scaled = fit_scaler("standard", columns(), random())(columns())
    assert torch.allclose(scaled.mean(dim=0), torch.zeros(4, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(scaled.std(dim=0, correction=0), torch.tensor([1, 1, 1, 0.0], dtype=torch.float64))


def test_robust_is_the_pass_layer() -> None:
    scaler = fit_scaler("robust", columns(), random())
    assert isinstance(scaler, Pass)
    assert scaler(columns()).abs().max() <= 3


def test_none_changes_nothing() -> None:
    assert fit_scaler(None, columns(), random())(columns()).equal(columns())


@pytest.mark.parametrize("scaling", SCALINGS)
def test_restored_from_its_tensors(scaling: str | None) -> None:
    scaler = fit_scaler(scaling, columns(), random())
    assert restored_scaler(scaling, scaler.state_dict())(columns()).equal(scaler(columns()))


@pytest.mark.parametrize(
    ("scaling", "text"),
    [
        (
            "quantiles",
            "scaling='quantiles' is not known. Did you mean \"quantile\"? "
            'Use "quantile", "robust", "standard" or None.',
        ),
        (3, 'scaling=3 is not known. Use "quantile", "robust", "standard" or None.'),
    ],
)
def test_unknown(scaling: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        fit_scaler(scaling, columns(), random())
    assert str(caught.value) == text
