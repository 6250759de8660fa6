"""Which candidates the data does not tell apart: neighbours in the ranking whose paired difference may be zero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from identikit.confidence.effect import cautious_error, resamples
from identikit.confidence.quantile import student
from identikit.errors import MetricError
from identikit.metrics.base import Floats, Metric


def ties(
    metric: Metric,
    rows: Mapping[str, tuple[Floats, Floats]],
    *,
    confidence: float = 0.95,
    looks: int = 1,
    seed: int = 0,
) -> dict[str, tuple[str, ...]]:
    """For each candidate the others that are not told apart from it, the least costly first.

    rows: candidate to its rows under the full and the edited model, of the same examples; a shorter one is of the
    first of them (a race stopped it: pass `race.looks`, the error is then shared by the looks), and is compared with
    others on those. The neighbours of a candidate in the ranking are asked outwards, one after the other, until one
    is told apart. With probability `confidence` no two equals are told apart anywhere: the error is shared by all
    pairs (Bonferroni). Means over examples: Student's t of the paired differences. Other metrics: the distance of
    the two scores against the deviation of its resamples (normal approximation; the quantiles of a thousand resamples
    end long before the level of one pair), drawn alike for all. A tie is a relation of two: of three, the first may
    be told apart from the last and neither from the middle one.
    Raises MetricError where candidates of such a metric have different examples.
    """
    apart = _Apart(metric, rows, confidence=confidence, looks=looks, seed=seed)
    sign = -1.0 if metric.higher_is_better else 1.0
    effects = {name: metric.aggregate(edited) - metric.aggregate(full) for name, (full, edited) in rows.items()}
    ranked = sorted(rows, key=lambda name: sign * effects[name])
    found: dict[str, list[str]] = {name: [] for name in ranked}
    for place, name in enumerate(ranked):
        for other in ranked[place + 1 :]:
            if apart(name, other):
                break
            found[name].append(other)
            found[other].append(name)
    rank = {name: place for place, name in enumerate(ranked)}
    return {name: tuple(sorted(found[name], key=rank.__getitem__)) for name in rows}


class _Apart:
    """Answers whether two candidates are told apart."""

    def __init__(
        self, metric: Metric, rows: Mapping[str, tuple[Floats, Floats]], *, confidence: float, looks: int, seed: int
    ) -> None:
        pairs = max(1, len(rows) * (len(rows) - 1) // 2)
        self._probability = 1.0 - (1.0 - confidence) / (2 * pairs * looks)
        self._rows = rows
        columns = {name: (metric.column(full), metric.column(edited)) for name, (full, edited) in rows.items()}
        self._means = {name: b - a for name, (a, b) in columns.items() if a is not None and b is not None}
        self._scores: dict[str, tuple[float, Floats]] = {}
        if len(self._means) < len(rows):
            self._resample(metric, seed)

    def __call__(self, name: str, other: str) -> bool:
        if self._scores:
            (one, drawn), (two, drawn_too) = self._scores[name], self._scores[other]
            difference = drawn - drawn_too
            usable = difference[np.isfinite(difference)]
            distance, count = one - two, len(self._rows[name][0])
            if 2 * len(usable) < len(difference) or len(usable) < 2 or count < 2:
                return False
            error = float(np.std(usable, ddof=1))
        else:
            count = min(len(self._means[name]), len(self._means[other]))
            if count < 2:
                return False
            paired = self._means[name][:count] - self._means[other][:count]
            distance, error = float(np.mean(paired)), float(cautious_error(paired))
        return abs(distance) > student(self._probability, count - 1) * error

    def _resample(self, metric: Metric, seed: int) -> None:
        """For each candidate the edited model's score, and those of the resamples: the full model's cancel out."""
        counts = {len(full) for full, _ in self._rows.values()}
        if len(counts) > 1:
            raise MetricError(
                f'metric "{metric.name}" is no mean over examples: candidates of different examples do not compare.'
            )
        blocks = list(resamples(metric.draws, counts.pop(), seed))
        for name, (_, edited) in self._rows.items():
            drawn = np.concatenate([metric.resampled(edited, index) for index in blocks])
            self._scores[name] = metric.aggregate(edited), drawn
