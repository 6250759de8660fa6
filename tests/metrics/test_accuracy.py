"""accuracy: right answers over answers, for classes, tokens and yes or no."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import resolve, rows_of


def score(spec: str, output: Any, target: Any, *, examples: int, **inputs: torch.Tensor) -> tuple[float, list[Any]]:
    metric, batch = resolve(spec), Batch(kwargs=inputs, target=target, examples=examples)
    rows = rows_of(metric, output, batch, metric.reference(output, batch))
    return metric.aggregate(rows), rows.tolist()


def logits_for(answers: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(answers, classes).float()


def test_classes() -> None:
    output = logits_for(torch.tensor([0, 1, 2, 2]), 3)
    assert score("accuracy", output, torch.tensor([0, 1, 0, 2]), examples=4) == (0.75, [[1, 1], [1, 1], [0, 1], [1, 1]])


def test_an_unlabelled_example_is_not_counted() -> None:
    output = logits_for(torch.tensor([0, 1, 2]), 3)
    assert score("accuracy", output, torch.tensor([0, 2, -100]), examples=3) == (0.5, [[1, 1], [0, 1], [0, 0]])


def test_tokens_at_their_place() -> None:
    output = logits_for(torch.tensor([[0, 1, 2], [2, 2, 2]]), 3)
    target = torch.tensor([[0, 1, 1], [2, -100, -100]])
    assert score("accuracy", output, target, examples=2) == (0.75, [[2, 3], [1, 1]])


def test_the_next_token() -> None:
    ids = torch.tensor([[0, 1, 2, 1], [1, 1, 0, 2]])
    output = logits_for(ids.roll(-1, dims=1), 3)
    output[0, 0] = torch.tensor([1.0, 0.0, 0.0])
    assert score("accuracy", output, ids, examples=2, input_ids=ids) == (5 / 6, [[2, 3], [3, 3]])


def test_a_single_logit_says_yes_above_0() -> None:
    output = torch.tensor([[0.3], [-0.2], [4.0]])
    for target in (torch.tensor([1, 1, 1]), torch.tensor([1.0, 1.0, 1.0]), torch.tensor([True, True, True])):
        assert score("accuracy", output, target, examples=3)[0] == pytest.approx(2 / 3)


def test_several_answers_of_one_row_are_counted_one_by_one() -> None:
    output, target = torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert score("accuracy", output, target, examples=2) == (0.75, [[2, 2], [1, 2]])


def test_numbers_are_never_right() -> None:
    with pytest.raises(MetricError) as caught:
        score("accuracy", torch.randn(3, 1), torch.tensor([0.0, 0.4, 1.0]), examples=3)
    assert str(caught.value) == (
        'metric "accuracy" needs answers of 0 and 1 for a single logit; found 0.4. '
        'Use "loss" or "spearman" for numbers.'
    )


@pytest.mark.parametrize(
    "target", [torch.tensor([0, 1]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])], ids=["classes", "binary"]
)
def test_nan_is_no_answer(target: torch.Tensor) -> None:
    output = torch.tensor([[0.0, 1.0], [torch.nan, 1.0]])
    with pytest.raises(MetricError, match=r'^metric "accuracy" is NaN for example 1 of a batch'):
        score("accuracy", output, target, examples=2)
