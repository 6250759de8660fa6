"""perplexity: the exponential of the mean loss of a token."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from identikit.batches import Batch
from identikit.metrics.base import Floats, Integers
from identikit.metrics.loss import Loss
from identikit.metrics.tasks import task_of

_TOKENS = ("causal", "tokens")


class Perplexity(Loss):
    """exp(all losses / all tokens); rows are [summed loss, tokens], the interval is a bootstrap over examples.

    For a masked language model this is the exponential of its training loss, which some call pseudo-perplexity.
    """

    kinds: ClassVar[tuple[str, ...]] = _TOKENS

    def __init__(self, kind: str | None = None) -> None:
        super().__init__(kind)
        self.name = "perplexity" if kind is None else f"perplexity:{kind}"

    def reference(self, output: Any, batch: Batch) -> str:
        """`causal` or `tokens`, proved by the model's own loss; MetricError where the task has no tokens."""
        return task_of(output, batch, metric=self.name, kind=self.kind, among=_TOKENS, verify=True)

    def aggregate(self, rows: Floats) -> float:
        """exp of the mean loss of a token; infinite where it overflows."""
        with np.errstate(over="ignore"):
            return float(np.exp(super().aggregate(rows)))

    def column(self, rows: Floats) -> Floats | None:
        """None: an exponential is no mean."""
        return None

    def resampled(self, rows: Floats, index: Integers) -> Floats:
        """The perplexity of each resample."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(super().resampled(rows, index)))
