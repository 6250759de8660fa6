"""rows_of: what a metric may give, checked at every call."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import Metric, rows_of


class Given(Metric):
    name = "given"

    def __init__(self, values: Any) -> None:
        self.given = values

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        return self.given


def test_rows_are_float64_on_the_cpu_and_a_copy_of_no_graph() -> None:
    for values in (torch.ones(3, dtype=torch.bfloat16), torch.ones(3, 2, requires_grad=True), torch.ones(3).bool()):
        rows = rows_of(Given(values), None, Batch(examples=3), None)
        assert rows.dtype == "float64"
        assert rows.shape == tuple(values.shape)


BAD = [
    (
        torch.ones(4),
        'metric "given" gave 4 rows for 3 examples; return one row per example.',
    ),
    (
        torch.tensor(1.0),
        'metric "given" gave one number for the whole batch for 3 examples; return [examples] or [examples, columns].',
    ),
    (torch.ones(3, 2, 2), 'metric "given" gave 3x2x2 for 3 examples; return [examples] or [examples, columns].'),
    ([1, 2, 3], 'metric "given" gave list, not a tensor; return one value per example: torch.tensor([...]).'),
    (
        torch.tensor([1.0, torch.nan, torch.nan]),
        'metric "given" is NaN for example 1 of a batch (2 of 3 examples): the model\'s output is not finite there, or '
        "the metric is not defined on it. Try a wider dtype (float32), or leave the example out.",
    ),
    (
        torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, -torch.inf]]),
        'metric "given" is infinite for example 2 of a batch (1 of 3 examples): the model\'s output is not finite '
        "there, or the metric is not defined on it. Try a wider dtype (float32), or leave the example out.",
    ),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=range(len(BAD)))
def test_what_is_refused(values: Any, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        rows_of(Given(values), None, Batch(examples=3), None)
    assert str(caught.value) == message
