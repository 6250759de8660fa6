"""What an edit costs, with its error bar: the rows of the full and the edited model, paired example by example."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from identikit.confidence.quantile import student
from identikit.errors import MetricError
from identikit.metrics.base import Floats, Integers, Metric

_AT_ONCE = 1 << 21  # numbers of one block of resamples: 16 MB of indices


@dataclass(frozen=True)
class Effect:
    """What one metric says of the full and of the edited model; `effect` is edited minus full.

    `low` and `high` bound the effect (not the scores), and `error` is its standard error; None where the data gives
    none (one example).
    """

    full: float
    edited: float
    effect: float
    low: float | None
    high: float | None
    error: float | None = None


def effect(metric: Metric, full: Floats, edited: Floats, *, confidence: float = 0.95, seed: int = 0) -> Effect:
    """The effect of an edit on `metric`, from rows of the same examples in the same order.

    Where the aggregate is the plain mean of one column: the mean of the paired differences with Student's t interval.
    Otherwise an expanded percentile bootstrap (Efron 1979; Hesterberg 2015, What Teachers Should Know About the
    Bootstrap: quantiles further out, by as much as Student's t is wider for so few examples): examples are drawn with
    replacement, the same for both models, `metric.draws` times; the same `seed` draws the same examples for every
    edit. Its standard error is the deviation of the resamples.

    An interval says how far the effect may lie from that on more examples of the kind; it does not say that the
    examples are the right ones. Of 20 examples a bootstrap interval at 0.95 covers 0.93 to 0.96, of 200 0.94 to 0.96
    (tests/confidence/test_coverage.py); a mean of strongly skewed costs 0.91 to 0.93.
    Raises MetricError where the rows do not pair or an aggregate is not finite.
    """
    if full.shape != edited.shape or not len(full):
        raise MetricError(
            f'metric "{metric.name}": rows of the full model ({"x".join(map(str, full.shape))}) and of the edited one '
            f"({'x'.join(map(str, edited.shape))}) must be of the same examples, one at least."
        )
    scores = [_finite(metric, rows, whose) for rows, whose in ((full, "full"), (edited, "edited"))]
    difference = scores[1] - scores[0]
    columns = metric.column(full), metric.column(edited)
    if len(full) < 2:
        low = high = error = None
    elif columns[0] is not None and columns[1] is not None:
        low, high, error = _paired(columns[1] - columns[0], difference, confidence)
    else:
        low, high, error = _bootstrap(metric, full, edited, confidence, seed)
        if low is not None and high is not None:
            # Resamples may all lie to one side (a count of different answers is smaller in each): no less is sure then.
            low, high = min(low, difference), max(high, difference)
    return Effect(scores[0], scores[1], difference, low, high, error)


def costs(metric: Metric, full: Floats, edited: Floats) -> Floats:
    """What the edit costs on each example, [examples], positive where the edited model is worse.

    Raises MetricError for a metric that is no mean over examples: then an example has no cost of its own.
    """
    columns = metric.column(full), metric.column(edited)
    if columns[0] is None or columns[1] is None:
        raise MetricError(
            f'metric "{metric.name}" is no mean over examples, so no example has a cost of its own and candidates '
            "cannot race. Race by another metric (fidelity, kl, accuracy), or leave --confidence away."
        )
    return columns[0] - columns[1] if metric.higher_is_better else columns[1] - columns[0]


def cautious_error(difference: Floats) -> Floats:
    """The standard error of the mean of paired differences [..., examples], for saying that two are surely apart.

    So that a spread not seen yet is not taken for none (0, 0, 0 so far), two made-up examples join the variance, as
    far from the mean as the largest difference seen, one on each side: as Agresti and Coull (1998) do for shares, and
    much like the second term of an empirical Bernstein bound (Mnih et al. 2008).
    """
    count = difference.shape[-1]
    farthest = np.max(np.abs(difference), axis=-1)
    variance = np.var(difference, axis=-1, ddof=1) + 2.0 * farthest**2 / count
    return np.asarray(np.sqrt(variance / count), dtype=np.float64)


def keeps(full: float, edited: float, higher_is_better: bool, *, name: str = "the metric") -> float:
    """The share of the full model's score that is kept: 1 is all of it; may exceed 1.

    Higher is better: edited / full. Lower is better: 2 - edited / full, so that 0.98 is at most 2 % more loss.
    Raises MetricError where the full score is not above zero: then a share means nothing.
    """
    if not full > 0:
        raise MetricError(
            f"--keep needs a full score above zero, and {name} is {full:.6g} for the full model. "
            f"Use --max-drop X instead (how much {name} may {'fall' if higher_is_better else 'rise'}, absolute)."
        )
    return edited / full if higher_is_better else 2.0 - edited / full


def drops(full: float, edited: float, higher_is_better: bool) -> float:
    """How much worse the edited model is, in the units of the metric; negative where it is better (`--max-drop`)."""
    return full - edited if higher_is_better else edited - full


def _finite(metric: Metric, rows: Floats, whose: str) -> float:
    value = metric.aggregate(rows)
    if not math.isfinite(value):
        raise MetricError(
            f'metric "{metric.name}" of the {whose} model is {value} over {len(rows)} examples; it cannot be compared. '
            "Check that examples are labelled and the model's outputs finite."
        )
    return value


def _paired(difference: Floats, mean: float, confidence: float) -> tuple[float, float, float]:
    """Student's t interval of the mean of paired differences, and its standard error."""
    count = len(difference)
    error = float(np.std(difference, ddof=1)) / math.sqrt(count)
    reach = student(0.5 + confidence / 2, count - 1) * error
    return mean - reach, mean + reach, error


def _bootstrap(
    metric: Metric, full: Floats, edited: Floats, confidence: float, seed: int
) -> tuple[float, float, float] | tuple[None, None, None]:
    """The percentile interval and the deviation; None where more than half of the resamples have no aggregate."""
    blocks = resamples(metric.draws, len(full), seed)
    drawn = [metric.resampled(edited, index) - metric.resampled(full, index) for index in blocks]
    differences = np.concatenate(drawn)
    usable = differences[np.isfinite(differences)]
    if 2 * len(usable) < len(differences) or len(usable) < 2:
        return None, None, None
    # Of few examples the resamples spread too little (Hesterberg 2015): as far out as Student's t would go.
    count = len(full)
    tail = NormalDist().cdf(-student(0.5 + confidence / 2, count - 1) * math.sqrt(count / (count - 1)))
    low, high = np.quantile(usable, [tail, 1 - tail])
    return float(low), float(high), float(np.std(usable, ddof=1))


def resamples(draws: int, count: int, seed: int) -> Iterator[Integers]:
    """Indices [some draws, count] until `draws` are done; the same for a seed, whatever the size of a block."""
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // count)
    for start in range(0, draws, step):
        yield generator.integers(0, count, size=(min(step, draws - start), count))
