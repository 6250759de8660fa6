"""Student's t quantiles equal scipy's."""

from __future__ import annotations

import pytest
from scipy.stats import t

from identikit.confidence.quantile import student


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 17, 100, 199, 200, 201, 1000, 10**6])
@pytest.mark.parametrize("probability", [0.5, 0.75, 0.95, 0.975, 0.995])
def test_it_equals_scipy(probability: float, freedom: int) -> None:
    assert student(probability, freedom) == pytest.approx(t.ppf(probability, freedom), rel=1e-8, abs=1e-9)
