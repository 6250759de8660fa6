"""kl: 0 for the model itself, torch's own divergence otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import resolve, rows_of
from identikit.metrics.base import Floats


def judge(spec: str, full: Any, edited: Any, batch: Batch) -> Floats:
    metric = resolve(spec)
    return rows_of(metric, edited, batch, metric.reference(full, batch))


def test_lower_is_better() -> None:
    assert not resolve("kl").higher_is_better


@pytest.mark.parametrize("spec", ["kl", "kl:sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_model_is_itself(spec: str, dtype: torch.dtype) -> None:
    output = torch.randn(4, 5, 9, dtype=dtype) * 10
    assert judge(spec, output, output, Batch(examples=4)).tolist() == [0.0] * 4


def test_it_is_the_divergence_in_nats_averaged_over_tokens() -> None:
    full, edited = torch.randn(3, 5, 9), torch.randn(3, 5, 9)
    expected = kl_divergence(Categorical(logits=full), Categorical(logits=edited)).mean(1)
    rows = judge("kl", {"logits": full}, {"logits": edited}, Batch(examples=3))
    assert rows == pytest.approx(expected.double().numpy(), rel=1e-5)


def test_yes_and_no_answers_add_up() -> None:
    full, edited = torch.randn(3, 5), torch.randn(3, 5)
    expected = kl_divergence(Bernoulli(logits=full), Bernoulli(logits=edited)).sum(1)
    rows = judge("kl:sigmoid", full, edited, Batch(examples=3))
    assert rows == pytest.approx(expected.double().numpy(), rel=1e-4)


def test_a_class_that_both_rule_out_adds_nothing() -> None:
    full, edited = torch.randn(2, 4), torch.randn(2, 4)
    shorter = judge("kl", full[:, :3], edited[:, :3], Batch(examples=2))
    full[:, 3] = edited[:, 3] = -torch.inf
    assert judge("kl", full, edited, Batch(examples=2)) == pytest.approx(shorter)


def test_a_class_that_only_the_edited_model_rules_out_is_infinitely_far() -> None:
    full, edited = torch.randn(2, 4), torch.randn(2, 4)
    edited[1, 0] = -torch.inf
    with pytest.raises(MetricError, match=r'^metric "kl" is infinite for example 1 of a batch \(1 of 2 examples\)'):
        judge("kl", full, edited, Batch(examples=2))


def test_an_embedding_has_no_distribution() -> None:
    with pytest.raises(MetricError) as caught:
        judge("kl", {"sentence_embedding": torch.randn(2, 4)}, {}, Batch(examples=2))
    assert str(caught.value) == (
        'metric "kl" compares logits, and this output (dict with sentence_embedding) has none. Use "fidelity", which '
        "compares embeddings and hidden states too."
    )
