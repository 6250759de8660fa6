"""Paired intervals: by how much one model's figure is above another's on the same examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DRAWS = 2000


def paired(
    ours: Floats, theirs: Floats, figure: Callable[[Floats], Floats] = lambda rows: rows.mean(-1)
) -> tuple[float, float]:
    """The difference of `figure` ([..., examples] to [...]) and the half-width of its 95 % interval (bootstrap).

    Examples are drawn with replacement, the same for both models.
    """
    index = np.random.default_rng(0).integers(len(ours), size=(DRAWS, len(ours)))
    drawn = figure(ours[index]) - figure(theirs[index])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(figure(ours) - figure(theirs)), float(high - low) / 2


def perplexity(losses: Floats) -> Floats:
    """exp of the mean loss a token, over examples of one length."""
    return np.exp(losses.mean(-1))
