"""accuracy: how often the largest logit is the target."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import RatioMetric
from identikit.metrics.cost import aligned, check_classes
from identikit.metrics.positions import IGNORED, rows_by_example
from identikit.metrics.tasks import judged, task_of

_CHOICES = ("classes", "causal", "tokens", "binary")


class Accuracy(RatioMetric):
    """Right answers over all answers, in 0 to 1. Rows are [right, counted]; a target of -100 is not counted.

    For tokens it is the share of all tokens that are right; a causal language model is judged on the next token.
    A single logit says yes above 0. Several yes-or-no targets of one row are counted one by one.
    """

    kinds: ClassVar[tuple[str, ...]] = _CHOICES

    def __init__(self, kind: str | None = None) -> None:
        self.name = "accuracy" if kind is None else f"accuracy:{kind}"
        self.kind = kind

    def reference(self, output: Any, batch: Batch) -> str:
        """The task, decided on the full model's output once."""
        return task_of(output, batch, metric=self.name, kind=self.kind, among=_CHOICES, verify=False)

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """[examples, 2]: right answers and answers counted."""
        task = self.reference(output, batch) if reference is None else reference
        logits, target = judged(output, batch, metric=self.name)
        if task == "binary":
            _check_answers(target, metric=self.name)
            right, counted = (logits > 0) == (target > 0.5), torch.ones_like(target, dtype=torch.bool)
            bad = logits.isnan()
        else:
            logits_rtc, target_rt = aligned(task, logits, target)
            check_classes(target_rt, logits_rtc.shape[-1])
            counted = target_rt != IGNORED
            right, bad = (logits_rtc.argmax(dim=-1) == target_rt) & counted, logits_rtc.isnan().any(dim=-1) & counted
        # argmax and comparisons swallow NaN: bring it back, so that it is reported and not scored.
        scored = torch.where(bad, torch.nan, right.float())
        columns = [item.reshape(len(item), -1).cpu().double().sum(dim=1) for item in (scored, counted)]
        return torch.stack([rows_by_example(item, batch, metric=self.name).sum(dim=1) for item in columns], dim=1)


def _check_answers(target: torch.Tensor, *, metric: str) -> None:
    """MetricError for a target that is not 0 or 1: a number to meet is never right or wrong."""
    wrong = target[(target != 0) & (target != 1)]
    if wrong.numel():
        raise MetricError(
            f'metric "{metric}" needs answers of 0 and 1 for a single logit; found {float(wrong[0]):g}. '
            'Use "loss" or "spearman" for numbers.'
        )
