"""R² as a metric of ours is scikit-learn's, with one output or several, drawn again or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import rows_of
from identikit.tabular.r_squared import RSquared


@pytest.mark.parametrize("outputs", [1, 3])
def test_it_is_scikit_learn_s(outputs: int) -> None:
    output, target = torch.randn(20, outputs), torch.randn(20, outputs)
    rows = rows_of(RSquared(), output, Batch(args=(output,), target=target, examples=20), None)
    assert RSquared().aggregate(rows) == pytest.approx(r2_score(target, output))
    index = np.random.RandomState(0).randint(20, size=(5, 20))
    expected = [r2_score(target[draw], output[draw]) for draw in index]
    assert RSquared().resampled(rows, index) == pytest.approx(expected)


def test_targets_that_do_not_differ() -> None:
    with pytest.raises(MetricError) as caught:
        RSquared().aggregate(np.array([[1.0, 2.0], [3.0, 2.0]]))
    assert str(caught.value) == 'metric "r2" needs targets that differ; all 2 are the same. Give more rows.'
    assert np.isnan(RSquared().resampled(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0, 0]]))[0])
