"""A torchmetrics metric as a metric: rows are prediction and target, the interval is a bootstrap."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import Floats, Metric
from identikit.metrics.outputs import embedding, shape
from identikit.metrics.spearman import scores, true_scores
from identikit.metrics.tasks import judged


class TorchMetric(Metric):
    """Any torchmetrics metric of predictions and targets that gives one number.

    Rows are the prediction (the logits as they are; torchmetrics takes them so) and the target: the last column for
    classes, the second half of the columns for several labels or numbers. `higher_is_better` is the metric's own;
    where it has none, say it here, or by name: "torchmetrics:PearsonCorrCoef(higher_is_better=True)". Results equal
    `metric(predictions, targets)` on all examples at once.
    """

    mean = False
    draws = 300  # a torchmetrics update takes about a millisecond

    def __init__(self, metric: Any, *, higher_is_better: bool | None = None, name: str | None = None) -> None:
        self.metric = metric
        kind = type(metric).__name__
        self.name = name or kind
        better = metric.higher_is_better if higher_is_better is None else higher_is_better
        if better is None:
            raise MetricError(
                f"{kind} does not say whether higher is better. Say it: identikit.metrics.TorchMetric({kind}(...), "
                f'higher_is_better=True), or "torchmetrics:{kind}(higher_is_better=True)".'
            )
        self.higher_is_better = bool(better)
        self.classes = type(metric).__module__.startswith("torchmetrics.classification")
        self.binary = kind.startswith("Binary")
        self.one_target = self.classes and not kind.startswith("Multilabel")

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """[examples, columns]: prediction, then target. MetricError for tokens or images, or shapes that do not fit."""
        prediction, target = self._pair(output, batch)
        if prediction.ndim > 2 or target.ndim > 2 or len(prediction) != len(target):
            raise MetricError(
                f'metric "{self.name}" takes one prediction per example; found an output of {shape(prediction)} '
                f"and a target of {shape(target)}. Write it yourself: file.py:function."
            )
        columns = [item.reshape(len(item), -1).detach().cpu().double() for item in (prediction, target)]
        if columns[1].shape[1] != (1 if self.one_target else columns[0].shape[1]):
            raise MetricError(
                f'metric "{self.name}" does not fit a target of {shape(target)} with an output of {shape(prediction)}. '
                "Write it yourself: file.py:function."
            )
        return torch.cat(columns, dim=1)

    def aggregate(self, rows: Floats) -> float:
        """What a fresh copy of the metric computes on all rows."""
        metric = copy.deepcopy(self.metric).cpu()
        metric.reset()
        split = rows.shape[1] - 1 if self.one_target else rows.shape[1] // 2
        prediction, target = torch.from_numpy(rows[:, :split]).float(), torch.from_numpy(rows[:, split:])
        target = target.long() if self.classes else target.float()
        try:
            metric.update(*(item.squeeze(1) if item.shape[1] == 1 else item for item in (prediction, target)))
            value = metric.compute()
        except (TypeError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split()).rstrip(".")
            raise MetricError(
                f'metric "{self.name}" cannot take these predictions and targets ({said}). '
                "Check its arguments, or write it yourself: file.py:function."
            ) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise MetricError(
                f'metric "{self.name}" gives several numbers; choose how to average them (average="macro").'
            )
        return float(np.float64(value.item()))

    def _pair(self, output: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Prediction and target: a pair of sentences predicts its cosine, two logits of yes and no their difference."""
        if embedding(output) is not None:
            return scores(output, batch, metric=self.name), true_scores(batch, metric=self.name)
        logits, target = judged(output, batch, metric=self.name)
        if self.binary and logits.ndim == 2 and logits.shape[1] == 2:
            logits = logits[:, 1] - logits[:, 0]
        return logits, target


def is_torchmetric(value: object) -> bool:
    """True for a torchmetrics metric or class; torchmetrics is not imported for the question."""
    kind = value if isinstance(value, type) else type(value)
    return any(base.__module__ == "torchmetrics.metric" and base.__name__ == "Metric" for base in kind.__mro__)
