"""kl: how far the edited model's distribution is from the full model's, in nats. It needs no labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import Metric
from identikit.metrics.distances import divergence, divergence_each
from identikit.metrics.fidelity import arranged
from identikit.metrics.outputs import described, predictions
from identikit.metrics.positions import Kept, classes_last, compared, counting, keep, kept_of


class KL(Metric):
    """KL(full || edited) in nats, averaged over the tokens of an example (padding left out); the full model scores 0.

    Logits are the output's `logits`, or an output that is a bare tensor (asking for kl says that it is logits).
    "kl:sigmoid" is for logits that each stand for a yes or no of their own; their divergences are summed.

    Source: Kullback and Leibler 1951, "On information and sufficiency".
    """

    higher_is_better = False
    kinds: ClassVar[tuple[str, ...]] = ("sigmoid",)

    def __init__(self, kind: str | None = None) -> None:
        self.name = "kl" if kind is None else f"kl:{kind}"
        self.each = kind == "sigmoid"

    def reference(self, output: Any, batch: Batch) -> Kept:
        """The full model's logits at the tokens that count, in the model's dtype. MetricError where there are none."""
        value_rtc = self._logits(output)
        mask = counting(output, batch, value_rtc)
        return keep(value_rtc, mask, how="sigmoid" if self.each else "logits", source="logits")

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """The divergence of each example: [examples]."""
        compare = divergence_each if self.each else divergence
        kept = kept_of(reference, metric=self.name)
        return compared(kept, self._logits(output), batch, compare, metric=self.name)

    def _logits(self, output: Any) -> torch.Tensor:
        value = predictions(output)
        if value is None or value.ndim == 0:
            raise MetricError(
                f'metric "{self.name}" compares logits, and this output ({described(output)}) has none. '
                'Use "fidelity", which compares embeddings and hidden states too.'
            )
        return classes_last(value) if self.each else arranged(value, "logits", metric=self.name)
