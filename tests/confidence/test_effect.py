"""Effects and their intervals: they cover what they should, are paired, and come out the same every time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import bootstrap, t

from identikit.confidence import effect as effects
from identikit.confidence.effect import Effect, drops, effect, keeps
from identikit.errors import MetricError
from identikit.metrics import Metric, resolve
from identikit.metrics.base import Floats

Generator = np.random.Generator


def test_the_effect_of_a_mean() -> None:
    full, edited = np.array([0.9, 0.8, 1.0, 0.7]), np.array([0.5, 0.6, 0.9, 0.5])
    found = effect(resolve("fidelity"), full, edited)
    expected = t.interval(0.95, 3, loc=-0.225, scale=np.std(edited - full, ddof=1) / 2)
    assert (found.full, found.edited, found.effect) == pytest.approx((0.85, 0.625, -0.225))
    assert (found.low, found.high) == pytest.approx(expected)


def test_nothing_changed_is_nothing() -> None:
    rows = np.random.default_rng(0).random((20, 2)) + 1
    for name in ("loss", "perplexity", "spearman"):
        found = effect(resolve(name), rows, rows.copy())
        assert (found.effect, found.low, found.high) == (0.0, 0.0, 0.0)


def test_one_example_has_no_interval() -> None:
    assert effect(resolve("fidelity"), np.array([1.0]), np.array([0.5])) == Effect(1.0, 0.5, -0.5, None, None)
    found = effect(resolve("loss"), np.array([[2.0, 1.0]]), np.array([[3.0, 1.0]]))
    assert found == Effect(2.0, 3.0, 1.0, None, None)


def test_pairing_takes_the_spread_of_the_examples_out() -> None:
    generator = np.random.default_rng(0)
    examples = generator.normal(0, 10, 200)
    found = effect(resolve("kl"), examples, examples + 1 + generator.normal(0, 0.1, 200))
    assert found.low is not None
    assert found.high is not None
    assert 0.95 < found.low < 1 < found.high < 1.05


def means(generator: Generator) -> tuple[Metric, Floats, Floats, float]:
    full = generator.normal(0, 3, 12)
    return resolve("fidelity"), full, full + generator.normal(-0.5, 1, 12), -0.5


def ratios(generator: Generator) -> tuple[Metric, Floats, Floats, float]:
    """Texts of many lengths, whose loss depends on the length: a mean of means would be wrong."""
    counts = generator.integers(5, 60, 80).astype(float)
    base = counts * (2 + counts / 60) + generator.normal(0, 4, 80)
    more = base + counts * 0.01 * counts + generator.normal(0, 4, 80)
    lengths = np.arange(5, 60)
    return (
        resolve("loss"),
        np.stack([base, counts], axis=1),
        np.stack([more, counts], axis=1),
        float(0.01 * (lengths**2).sum() / lengths.sum()),
    )


def orders(generator: Generator) -> tuple[Metric, Floats, Floats, float]:
    """Correlated normal numbers; Spearman's rho of them is 6/pi asin(r/2) (Pearson 1907)."""
    target = generator.normal(size=120)
    full, edited = (r * target + np.sqrt(1 - r * r) * generator.normal(size=120) for r in (0.8, 0.5))
    truth = 6 / np.pi * (np.arcsin(0.25) - np.arcsin(0.4))
    return resolve("spearman"), np.stack([full, target], axis=1), np.stack([edited, target], axis=1), float(truth)


@pytest.mark.parametrize("draw", [means, ratios, orders], ids=["mean", "ratio", "order"])
def test_an_interval_covers_the_truth_as_often_as_it_says(
    draw: Callable[[Generator], tuple[Metric, Floats, Floats, float]],
) -> None:
    generator, hits, repeats = np.random.default_rng(7), 0, 300
    for _ in range(repeats):
        metric, full, edited, truth = draw(generator)
        metric.draws = 300
        found = effect(metric, full, edited, confidence=0.9)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    # 0.9 plus or minus three standard errors of 300 repeats, and two points for the percentile method.
    assert 0.83 < hits / repeats < 0.955


def test_the_bootstrap_agrees_with_scipys() -> None:
    generator = np.random.default_rng(3)
    metric, full, edited, _ = ratios(generator)
    metric.draws = 20_000
    found = effect(metric, full, edited)

    def difference(a: Floats, b: Floats, c: Floats, axis: int) -> Floats:
        return b.sum(axis) / c.sum(axis) - a.sum(axis) / c.sum(axis)

    columns = (full[:, 0], edited[:, 0], full[:, 1])
    theirs = bootstrap(columns, difference, paired=True, method="percentile", n_resamples=20_000, rng=generator)
    interval = theirs.confidence_interval
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=0.02)


def test_texts_of_one_length_have_a_paired_interval() -> None:
    generator = np.random.default_rng(0)
    full = np.stack([generator.normal(50, 5, 10), np.full(10, 16.0)], axis=1)
    edited = full + np.array([3.0, 0.0])
    edited[:, 0] += generator.normal(0, 1, 10)
    found, plain = (
        effect(resolve("loss"), full, edited),
        effect(resolve("kl"), full[:, 0] / 16, edited[:, 0] / 16),
    )
    assert (found.effect, found.low, found.high) == pytest.approx((plain.effect, plain.low, plain.high))


def test_the_same_every_time_and_for_every_size_of_block(monkeypatch: pytest.MonkeyPatch) -> None:
    metric, full, edited, _ = orders(np.random.default_rng(0))
    found = effect(metric, full, edited, seed=1)
    assert effect(metric, full, edited, seed=1) == found
    assert effect(metric, full, edited, seed=2) != found
    monkeypatch.setattr(effects, "_AT_ONCE", 1000)
    assert effect(metric, full, edited, seed=1) == found


class OwnKinds(Metric):
    name = "kinds"

    def values(self, output: object, batch: object, reference: object) -> object:  # type: ignore[override]
        raise NotImplementedError

    def aggregate(self, rows: Floats) -> float:
        return float(len(np.unique(rows)))


def test_an_interval_holds_its_effect_though_no_resample_reaches_it() -> None:
    """Eight different answers instead of one: a resample of eight examples finds five of them or six."""
    found = effect(OwnKinds(), np.zeros(8), np.arange(8.0))
    assert found.effect == 7.0
    assert found.low is not None
    assert found.low < 6.0
    assert found.high == 7.0


class OwnMedian(Metric):
    name = "median"

    def values(self, output: object, batch: object, reference: object) -> object:  # type: ignore[override]
        raise NotImplementedError

    def aggregate(self, rows: Floats) -> float:
        return float(np.median(rows))


def test_an_aggregate_of_ones_own_is_never_given_the_interval_of_a_mean() -> None:
    generator = np.random.default_rng(0)
    full = generator.lognormal(size=100)
    edited = full + generator.lognormal(size=100)
    found = effect(OwnMedian(), full, edited)
    mean = effect(resolve("kl"), full, edited)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.effect < found.high
    assert found.high != pytest.approx(mean.high, rel=0.02)


def test_resamples_without_an_aggregate_are_left_out() -> None:
    rows = np.array([[0.1, 1.0], [0.2, 1.0], [0.3, 1.0], [0.4, 1.0], [0.5, 1.0], [0.6, 2.0]])
    found = effect(resolve("spearman"), rows, rows[::-1, :] * [1.0, 0.0] + rows * [0.0, 1.0])
    assert found.low is not None
    assert np.isfinite(found.low)


def test_too_few_usable_resamples_give_no_interval() -> None:
    class Fragile(OwnMedian):
        def aggregate(self, rows: Floats) -> float:
            return float(np.mean(rows)) if len(np.unique(rows)) == len(rows) else float("nan")

    found = effect(Fragile(), np.arange(5.0), np.arange(5.0) + 1)
    assert (found.effect, found.low, found.high) == (1.0, None, None)


def test_rows_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(MetricError) as caught:
        effect(resolve("kl"), np.zeros(3), np.zeros(4))
    assert str(caught.value) == (
        'metric "kl": rows of the full model (3) and of the edited one (4) must be of the same examples, one at least.'
    )
    with pytest.raises(MetricError, match="one at least"):
        effect(resolve("kl"), np.zeros(0), np.zeros(0))


def test_a_score_that_is_not_finite_is_an_error() -> None:
    rows = np.array([[2.0, 1.0], [2.0, 1.0]])
    with pytest.raises(MetricError) as caught:
        effect(resolve("perplexity"), rows, rows * [1000.0, 1.0])
    assert str(caught.value) == (
        'metric "perplexity" of the edited model is inf over 2 examples; it cannot be compared. '
        "Check that examples are labelled and the model's outputs finite."
    )
    with pytest.raises(MetricError, match=r'^metric "loss" of the full model is nan over 2 examples;'):
        effect(resolve("loss"), rows * 0, rows)


@pytest.mark.parametrize(
    ("full", "edited", "higher", "share", "drop"),
    [
        (0.8, 0.784, True, 0.98, 0.016),
        (2.0, 2.04, False, 0.98, 0.04),
        (0.5, 0.6, True, 1.2, -0.1),
        (2.0, 1.0, False, 1.5, -1),
    ],
)
def test_what_is_kept(full: float, edited: float, higher: bool, share: float, drop: float) -> None:
    assert keeps(full, edited, higher) == pytest.approx(share)
    assert drops(full, edited, higher) == pytest.approx(drop)


@pytest.mark.parametrize("full", [0.0, -0.02, float("nan")])
def test_a_share_of_nothing_is_refused(full: float) -> None:
    with pytest.raises(MetricError) as caught:
        keeps(full, 0.1, True, name="spearman")
    assert str(caught.value) == (
        f"--keep needs a full score above zero, and spearman is {full:.6g} for the full model. "
        "Use --max-drop X instead (how much spearman may fall, absolute)."
    )
    with pytest.raises(MetricError, match=r"\(how much kl may rise, absolute\)\.$"):
        keeps(0.0, 0.1, False, name="kl")
