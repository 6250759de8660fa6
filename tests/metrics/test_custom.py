"""A user's function as a metric: how it is called, what it may return, what it gets to see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import MaskedLMOutput

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import resolve, rows_of
from identikit.metrics.custom import copied

BATCH = Batch(examples=3)


def first(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    return output[:, 0]


def change(output: torch.Tensor, batch: Batch, reference: torch.Tensor) -> torch.Tensor:
    return (output - reference).abs().sum(1)


change.higher_is_better = False  # type: ignore[attr-defined]


def scaled(output: torch.Tensor, batch: Batch, scale: float = 2.0) -> torch.Tensor:
    return output[:, 0] * scale


def test_a_function_of_output_and_batch() -> None:
    metric, output = resolve(first), torch.randn(3, 2)
    assert (metric.name, metric.higher_is_better, metric.mean) == ("first", True, True)
    assert metric.reference(output, BATCH) is None
    assert rows_of(metric, output, BATCH, None) == pytest.approx(output[:, 0].double().numpy())


def test_a_third_argument_gets_the_full_models_output() -> None:
    metric, output = resolve(change), torch.ones(3, 2)
    reference = metric.reference(output, BATCH)
    output.add_(1)
    assert not metric.higher_is_better
    assert rows_of(metric, output, BATCH, reference).tolist() == [2.0, 2.0, 2.0]


def test_a_third_argument_with_a_default_is_the_users_own() -> None:
    assert rows_of(resolve(scaled), torch.ones(3, 2), BATCH, None).tolist() == [2.0, 2.0, 2.0]
    assert rows_of(resolve(partial(scaled, scale=3.0)), torch.ones(3, 2), BATCH, None).tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("make", [list, np.array, torch.tensor, lambda values: torch.tensor(values) > 1])
def test_lists_arrays_and_tensors_will_do(make: Any) -> None:
    rows = rows_of(resolve(lambda output, batch: make([1, 2, 0])), None, BATCH, None)
    assert rows.dtype == np.float64
    assert rows.shape == (3,)


RETURNED = {
    "a number": (
        0.5,
        'metric "own" gave one number for 3 examples; return one number per example, or subclass ik.Metric for rows of '
        "several columns.",
    ),
    "columns": (
        torch.zeros(3, 2),
        'metric "own" gave 3x2 for 3 examples; return one number per example, or subclass ik.Metric for rows of '
        "several columns.",
    ),
    "nothing": (None, 'metric "own" gave NoneType; return one number per example: a tensor, an array or a list.'),
    "too few": (torch.zeros(2), 'metric "own" gave 2 rows for 3 examples; return one row per example.'),
}


@pytest.mark.parametrize("name", RETURNED)
def test_what_it_may_not_return(name: str) -> None:
    value, message = RETURNED[name]

    def own(output: Any, batch: Batch) -> Any:
        return value

    with pytest.raises(MetricError) as caught:
        rows_of(resolve(own), None, BATCH, None)
    assert str(caught.value) == message


def test_a_function_of_other_arguments_is_refused() -> None:
    def own(output: Any) -> Any: ...

    with pytest.raises(MetricError) as caught:
        resolve(own)
    assert str(caught.value).startswith(
        'metric "own" is called with (output, batch) or (output, batch, reference); it takes (output'
    )


def test_an_error_of_the_users_own_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        rows_of(resolve(lambda output, batch: 1 / 0), None, BATCH, None)


@dataclass
class Output:
    logits: torch.Tensor
    extra: tuple[torch.Tensor, ...]


def test_a_copy_keeps_its_types() -> None:
    value = torch.zeros(2, requires_grad=True) + 0
    tree = {
        "model": MaskedLMOutput(logits=value, hidden_states=(value,)),
        "own": Output(value, (value,)),
        "list": [value, "word", None],
    }
    fresh = copied(tree)
    value.data.add_(1)
    assert isinstance(fresh["model"], MaskedLMOutput)
    assert fresh["list"][1:] == ["word", None]
    tensors = [fresh["model"].logits, fresh["model"]["hidden_states"][0], fresh["own"].logits, *fresh["own"].extra]
    for tensor in [*tensors, fresh["list"][0]]:
        assert tensor.tolist() == [0.0, 0.0]
        assert not tensor.requires_grad
