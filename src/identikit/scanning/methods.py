"""The ways to rank candidates: which cheap score comes first, and which candidates are worth the exact one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from identikit.batches import Batch
from identikit.errors import MetricError, did_you_mean
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.results.agreement import CHEAP
from identikit.scoring import angular, influence, taylor
from identikit.scoring.spans import whole_blocks

METHODS = ("exact", *CHEAP, "auto")
_AT_LEAST = 3  # fewer exact rows have no agreement with the cheap ones


def check_method(method: str, least: int | None = None) -> None:
    """Raise MetricError for a method that there is not, or a number of least important layers below one."""
    if method not in METHODS:
        listed = ", ".join(f'"{name}"' for name in METHODS)
        raise MetricError(f'method="{method}" is not known; there is {listed}.{did_you_mean(str(method), METHODS)}')
    if least is not None and least < 1:
        raise MetricError(f"least={least} counts the least important layers: 1 or more.")


def cheap_method(anatomy: Anatomy, plans: Mapping[str, Plan], method: str) -> str | None:
    """The cheap score that `method` begins with; None where it is exact from the start.

    "auto" begins with influence, the cheapest; where a candidate is no whole block nothing enters and leaves it, so all
    are scored by taylor: costs of two kinds are no ranking.
    """
    if method != "auto":
        return None if method == "exact" else method
    return influence.METHOD if whole_blocks(anatomy, plans) else taylor.METHOD


def cheap_scores(
    anatomy: Anatomy,
    data: Iterable[Batch],
    plans: Mapping[str, Plan],
    method: str,
    *,
    metrics: Sequence[Metric] = (),
    seed: int = 0,
) -> dict[str, Floats]:
    """The scores by "influence", "angular" or "taylor" (of the first of `metrics`): name to [examples].

    A higher score means that the candidate is missed more. Raises what these do.
    """
    if method == taylor.METHOD:
        return taylor.scores(anatomy, data, plans, metric=next(iter(metrics), None), seed=seed)
    scored = angular.scores if method == angular.METHOD else influence.scores
    return scored(anatomy, data, plans, seed=seed)


def worth_exact(scores: Mapping[str, Floats], least: int | None = None) -> list[str]:
    """The candidates that "auto" measures exactly: the half with the smallest cheap scores, in their order.

    Three at least, and twice as many as the `least` important ones that are looked for.
    """
    count = max((len(scores) + 1) // 2, _AT_LEAST, 2 * (least or 0))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    smallest = set(sorted(means, key=means.__getitem__)[:count])
    return [name for name in scores if name in smallest]
