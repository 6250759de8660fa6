"""Quantiles of Student's t distribution, which numpy and torch do not have."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

_SERIES_UP_TO = 200


@cache
def student(probability: float, freedom: int) -> float:
    """The t with P(T <= t) = `probability` (0.5 to 1) for `freedom` degrees of freedom (1 or more), to about 1e-8.

    Up to 200 degrees the finite series of the distribution, inverted by bisection; above, the expansion in 1/freedom.
    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3, 26.7.4 and 26.7.5.
    """
    if freedom > _SERIES_UP_TO:
        return _expansion(NormalDist().inv_cdf(probability), freedom)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 2 * probability - 1 else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """P(|T| <= t) for t = sqrt(freedom) * tan(angle)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    if freedom == 1:
        return 2 * angle / math.pi
    term = cosine if odd else 1.0
    total = term
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _expansion(z: float, freedom: int) -> float:
    """Four terms beyond the normal quantile `z`."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))
