"""spearman: equal to scipy's with ties, for pairs of sentences and for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import resolve, rows_of
from identikit.metrics.base import Floats

METRIC = resolve("spearman")


def rows(output: Any, target: Any, *, examples: int) -> Floats:
    batch = Batch(target=target, examples=examples)
    return rows_of(METRIC, output, batch, METRIC.reference(output, batch))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=40))
def test_it_equals_scipy_with_ties(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs, dtype=np.float64)
    assume(all(len(set(column)) > 1 for column in table.T))
    assert METRIC.aggregate(table) == pytest.approx(spearmanr(*table.T).statistic, abs=1e-12)


def test_each_resample_equals_the_aggregate_of_its_rows() -> None:
    generator = np.random.default_rng(0)
    table = np.round(generator.normal(size=(30, 2)), 1)
    index = generator.integers(0, 30, size=(20, 30))
    assert METRIC.resampled(table, index) == pytest.approx([METRIC.aggregate(table[draw]) for draw in index])


def test_a_pair_predicts_the_cosine_of_its_embeddings() -> None:
    first, second, target = torch.randn(5, 8), torch.randn(5, 8), torch.rand(5)
    vectors = torch.stack([first, second], dim=1).flatten(0, 1)
    expected = torch.stack([torch.cosine_similarity(first, second), target], dim=1)
    for output in ({"sentence_embedding": vectors}, vectors):
        assert rows(output, target, examples=5) == pytest.approx(expected.double().numpy(), abs=1e-6)


@pytest.mark.parametrize("shape", [(5,), (5, 1)], ids=str)
def test_numbers_are_predictions(shape: tuple[int, ...]) -> None:
    numbers, target = torch.randn(5), [1, 2, 3, 4, 5]
    for output in (numbers.reshape(shape), {"logits": numbers.reshape(shape)}):
        assert rows(output, target, examples=5)[:, 0] == pytest.approx(numbers.double().numpy())


def test_a_model_that_collapsed_orders_nothing() -> None:
    assert METRIC.aggregate(np.array([[0.9, 1.0], [0.9, 2.0], [0.9, 3.0]])) == 0.0


def test_targets_that_do_not_differ_are_an_error() -> None:
    with pytest.raises(MetricError) as caught:
        METRIC.aggregate(np.array([[0.1, 2.5], [0.2, 2.5]]))
    assert str(caught.value) == (
        'metric "spearman" compares orders, and all 2 targets are 2.5. Use more examples (--limit), or check the '
        "target column."
    )


REFUSED = {
    "no target": (
        {"sentence_embedding": torch.randn(4, 3)},
        None,
        'metric "spearman" needs a target, and this batch has none. Hand over (inputs, target) (command line: --target '
        'COLUMN), or use "fidelity", which needs none.',
    ),
    "single sentences": (
        {"sentence_embedding": torch.randn(2, 3)},
        [0.1, 0.2],
        'metric "spearman" needs the embeddings of 2 pairs (4 rows, each pair side by side) or one number per example; '
        "found 2x3. Give pairs of sentences (--text and --text-pair) to an embedding model, or take a regression "
        "model.",
    ),
    "no embedding": (
        {"last_hidden_state": torch.randn(4, 6, 3)},
        [0.1, 0.2],
        'metric "spearman" needs the embeddings of 2 pairs (4 rows, each pair side by side) or one number per example; '
        "found dict with last_hidden_state. Give pairs of sentences (--text and --text-pair) to an embedding model, or "
        "take a regression model.",
    ),
    "a target for each row": (
        {"sentence_embedding": torch.randn(4, 3)},
        [0.1, 0.2, 0.3, 0.4],
        'metric "spearman" needs one target per example (2); found 4.',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    output, target, message = REFUSED[name]
    with pytest.raises(MetricError) as caught:
        rows(output, target, examples=2)
    assert str(caught.value) == message
