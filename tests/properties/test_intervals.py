"""Intervals: they hold their own effect, turn round with the models, and widen with the confidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import t

from identikit.confidence.effect import Effect, costs, drops, effect, keeps
from identikit.confidence.quantile import student
from identikit.confidence.ties import ties
from identikit.errors import MetricError
from identikit.metrics import Metric, resolve
from identikit.metrics.base import Floats

VALUES = st.integers(-99, 99).map(lambda number: number / 8) | st.floats(-1e6, 1e6)
CONFIDENCES = st.sampled_from([0.5, 0.8, 0.95, 0.999])


class Kinds(Metric):
    """How many different answers there are: fewer in nearly every resample, the hardest case for a bootstrap."""

    name = "kinds"
    higher_is_better = False

    def values(self, output: object, batch: object, reference: object) -> object:  # type: ignore[override]
        raise NotImplementedError

    def aggregate(self, rows: Floats) -> float:
        return float(len(np.unique(rows)))


def metric_of(name: str) -> Metric:
    metric = Kinds() if name == "kinds" else resolve(name)
    metric.draws = 60
    return metric


METRICS = st.sampled_from(["fidelity", "kl", "loss", "perplexity", "spearman", "kinds"]).map(metric_of)


@st.composite
def pairs(draw: st.DrawFn, metric: Metric) -> tuple[Floats, Floats]:
    """Rows of the full and of the edited model on the same examples, as the metric has them."""
    count = draw(st.integers(1, 9))
    columns = st.lists(VALUES, min_size=count, max_size=count)
    full, edited = np.array(draw(columns)), np.array(draw(columns))
    if metric.name in ("fidelity", "kl", "kinds"):
        return full, edited
    if metric.name == "spearman":
        second = np.array(draw(columns))
        return np.stack([full, second], axis=1), np.stack([edited, second], axis=1)
    tokens = np.array(draw(st.lists(st.integers(1, 50), min_size=count, max_size=count)), dtype=float)
    losses = [np.stack([np.abs(rows) % 9 * tokens, tokens], axis=1) for rows in (full, edited)]
    return losses[0], losses[1]


def judged(metric: Metric, rows: tuple[Floats, Floats], confidence: float = 0.95) -> Effect:
    try:
        return effect(metric, *rows, confidence=confidence)
    except MetricError:  # a ranking of equal values has no correlation
        assume(metric.name != "spearman")
        raise


@given(METRICS, CONFIDENCES, st.data())
@settings(max_examples=200)
def test_an_interval_holds_its_effect(metric: Metric, confidence: float, data: st.DataObject) -> None:
    rows = data.draw(pairs(metric))
    found = judged(metric, rows, confidence)
    assert found.effect == found.edited - found.full
    if found.low is None or found.high is None:
        assert found.low is found.high is found.error is None
        return
    assert found.low <= found.effect <= found.high
    assert found.error is not None
    assert found.error >= 0


@given(METRICS, st.data())
@settings(max_examples=100)
def test_models_exchanged_turn_the_effect_round(metric: Metric, data: st.DataObject) -> None:
    full, edited = data.draw(pairs(metric))
    there, back = judged(metric, (full, edited)), judged(metric, (edited, full))
    assert (back.full, back.edited, back.effect) == (there.edited, there.full, -there.effect)
    if there.low is None or there.high is None:
        assert back.low is back.high is None
        return
    size = max(1.0, abs(there.full), abs(there.edited), abs(there.low), abs(there.high))
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9 * size)
    assert back.error == pytest.approx(there.error, abs=1e-9 * size)
    assert drops(there.full, there.edited, metric.higher_is_better) == -drops(
        back.full, back.edited, metric.higher_is_better
    )


@given(METRICS, st.data())
@settings(max_examples=60)
def test_more_confidence_is_a_wider_interval_around_the_narrower_one(metric: Metric, data: st.DataObject) -> None:
    rows = data.draw(pairs(metric))
    narrow, wide = (judged(metric, rows, confidence) for confidence in (0.8, 0.95))
    if narrow.low is not None and narrow.high is not None and wide.low is not None and wide.high is not None:
        assert wide.low <= narrow.low
        assert narrow.high <= wide.high


@given(METRICS, st.data())
@settings(max_examples=60)
def test_an_edit_that_changes_nothing_costs_nothing(metric: Metric, data: st.DataObject) -> None:
    rows, _ = data.draw(pairs(metric))
    found = judged(metric, (rows, rows.copy()))
    assert found.effect == 0
    assert found.low in (0, None)
    assert found.high in (0, None)
    if found.full > 0:
        assert keeps(found.full, found.edited, metric.higher_is_better) == 1


@given(st.sampled_from(["fidelity", "kl"]).map(metric_of), st.data())
def test_costs_of_examples_are_the_effect_turned(metric: Metric, data: st.DataObject) -> None:
    full, edited = data.draw(pairs(metric))
    found = effect(metric, full, edited)
    wanted = -found.effect if metric.higher_is_better else found.effect
    size = max(1.0, float(np.max(np.abs(full))), float(np.max(np.abs(edited))))
    assert float(np.mean(costs(metric, full, edited))) == pytest.approx(wanted, abs=1e-9 * size)
    assert np.array_equal(costs(metric, edited, full), -costs(metric, full, edited))


@given(METRICS, st.data())
@settings(max_examples=60)
def test_a_tie_is_mutual_and_equals_are_tied(metric: Metric, data: st.DataObject) -> None:
    full, edited = data.draw(pairs(metric))
    judged(metric, (full, edited))
    shifts = data.draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 3.0]), min_size=1, max_size=4))
    others = [edited + shift if edited.ndim == 1 else edited + np.array([shift, 0.0]) for shift in shifts]
    found = ties(metric, {str(number): (full, rows) for number, rows in enumerate(others)})
    for name, tied in found.items():
        assert name not in tied
        assert all(name in found[other] for other in tied)
        assert {str(number) for number, shift in enumerate(shifts) if shift == shifts[int(name)]} <= {name, *tied}


@given(st.floats(0.5, 1 - 1e-9), st.integers(1, 5000))
def test_quantiles_are_scipys(probability: float, freedom: int) -> None:
    assert student(probability, freedom) == pytest.approx(t.ppf(probability, freedom), rel=1e-5, abs=1e-7)
