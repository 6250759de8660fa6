"""loss: the loss a model is trained on, computed from its logits and the target."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from identikit.batches import Batch
from identikit.metrics.base import RatioMetric
from identikit.metrics.cost import cost
from identikit.metrics.positions import rows_by_example
from identikit.metrics.tasks import TASKS, judged, task_of


class Loss(RatioMetric):
    """Cross-entropy in nats (classes, next tokens, tokens at their place), or squared error. Lower is better.

    Rows are [summed loss, count]; the aggregate is all sums over all counts, which is what training minimises: the
    mean over tokens, not over examples. Positions whose target is -100 are left out.
    A causal and a masked language model have logits and labels of one shape. Which one it is, the full model's own
    loss decides: the reading that equals it (`loss:causal`, `loss:tokens` say it outright). One number per example
    against floating-point targets is the squared error (`loss:squared`); `loss:binary` takes it for a yes or no.
    """

    higher_is_better = False
    kinds: ClassVar[tuple[str, ...]] = TASKS

    def __init__(self, kind: str | None = None) -> None:
        self.name = "loss" if kind is None else f"loss:{kind}"
        self.kind = kind

    def reference(self, output: Any, batch: Batch) -> str:
        """The task, decided on the full model's output once; every edited model is judged on the same."""
        return task_of(output, batch, metric=self.name, kind=self.kind, among=TASKS, verify=True)

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """[examples, 2]: summed loss and count. Raises MetricError where output and target do not fit."""
        task = self.reference(output, batch) if reference is None else reference
        rows = cost(task, *judged(output, batch, metric=self.name))
        sums, counts = (rows_by_example(rows[:, column], batch, metric=self.name).sum(dim=1) for column in (0, 1))
        return torch.stack([sums, counts], dim=1)
