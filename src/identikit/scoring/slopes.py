"""What the gates are differentiated by: the loss where there are labels, else the output along a random direction.

Legend of the suffixes: r rows of the model, t positions, c classes or width, n positions that count.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch

from identikit.batches import Batch
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.metrics.cost import cost
from identikit.metrics.fidelity import Fidelity, arranged
from identikit.metrics.loss import Loss
from identikit.metrics.positions import counting, keep, rows_by_example, wide
from identikit.metrics.tasks import paired


class Slope(Protocol):
    """One way to judge the gates of a batch by their gradient."""

    def total(self, output: Any, batch: Batch) -> torch.Tensor:
        """What is differentiated: one number, a sum over the examples of the batch."""

    def scores(self, gradients: Floats) -> Floats:
        """From the gradients of all examples of the data, [examples], to their scores."""


class LossSlope:
    """The first-order change of the loss: minus its derivative by the gate, which goes from one to zero.

    Scaled so that the mean over the examples is that of the metric's own aggregate (all sums over all counts).
    """

    def __init__(self, metric: Loss) -> None:
        self._metric = metric
        self._counts: list[torch.Tensor] = []

    def total(self, output: Any, batch: Batch) -> torch.Tensor:
        """The summed loss. Raises MetricError where output and target do not fit."""
        metric = self._metric
        task = metric.reference(output, batch)
        rows = cost(task, *paired(output, batch, metric=metric.name))
        self._counts.append(rows_by_example(rows[:, 1].detach(), batch, metric=metric.name).sum(dim=1))
        return rows[:, 0].sum()

    def scores(self, gradients: Floats) -> Floats:
        counts = torch.cat(self._counts).numpy()
        return np.asarray(-gradients * (len(counts) / counts.sum()), dtype=np.float64)


class ChangeSlope:
    """The squared first-order change of what fidelity compares, averaged over the positions that count.

    v is +1 or -1 in each entry, drawn for each example from (seed, its number in the data): the square of d(v.u)/dg
    then is |du/dg|^2 on average over v (Hutchinson 1990). u has length 1 at each position: the hidden state or the
    embedding over its length, of logits the roots of the probabilities; a single number counts as it is.
    """

    def __init__(self, metric: Metric | None, seed: int) -> None:
        self._judge = metric if isinstance(metric, Fidelity) else Fidelity()
        self._seed = seed
        self._example = 0

    def total(self, output: Any, batch: Batch) -> torch.Tensor:
        """v.u, summed over examples. Raises MetricError where the output has nothing to compare."""
        return self.by_example(output, batch).sum()

    def by_example(self, output: Any, batch: Batch) -> torch.Tensor:
        """v.u of each example: [examples]."""
        u_rtc, mask_rt = self.directions(output, batch)
        kept = keep(u_rtc, mask_rt, how="", source="")  # refuses a row of padding alone
        rows, positions, width = u_rtc.shape
        of_example = rows_by_example(torch.arange(rows), batch, metric=self._judge.name)
        flat = u_rtc.reshape(rows * positions, width)
        u_nc = flat if kept.index_n is None else flat[kept.index_n]
        counts = torch.full((rows,), positions) if mask_rt is None else mask_rt.sum(dim=1).cpu()
        v_nc = torch.cat([self._drawn(counts[each], width, len(each)) for each in of_example])
        sizes = [int(counts[each].sum()) for each in of_example]
        return torch.stack([part.sum() for part in (u_nc * v_nc.to(u_nc)).split(sizes)])

    def scores(self, gradients: Floats) -> Floats:
        return np.asarray(np.square(gradients), dtype=np.float64)

    def directions(self, output: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """u [rows, positions, width], and which positions count."""
        how, _, value = self._judge.part(output)
        if value.numel() == len(value) or (how == "logits" and value.shape[-1] == 1):
            return wide(value).reshape(len(value), -1, 1), None
        value_rtc = arranged(value, how, metric=self._judge.name)
        mask = counting(output, batch, value_rtc) if value.ndim == 3 else None
        u_rtc = wide(value_rtc)
        if how == "logits":
            return (0.5 * u_rtc.log_softmax(dim=-1)).exp(), mask
        if how == "sigmoid":
            both = torch.stack([u_rtc, -u_rtc], dim=-1)
            return (0.5 * torch.nn.functional.logsigmoid(both)).exp().flatten(2), mask
        norm = torch.linalg.vector_norm(u_rtc, dim=-1, keepdim=True)
        return u_rtc / norm.where(norm != 0, 1.0), mask

    def _drawn(self, counts: torch.Tensor, width: int, rows: int) -> torch.Tensor:
        """v of the next example over its counted positions, each row weighing the same: [positions, width]."""
        draw = torch.Generator().manual_seed((self._seed * 1_000_003 + self._example) % 2**63)
        self._example += 1
        signs = torch.randint(0, 2, (int(counts.sum()), width), generator=draw, dtype=torch.int8)
        weights = (counts.double() * rows).rsqrt().repeat_interleave(counts)
        return (2 * signs - 1) * weights[:, None].float()


def slope_for(metric: Metric | None, seed: int) -> Slope:
    """By the loss where `metric` is one (perplexity is judged by its loss), else by the change of the output."""
    return LossSlope(metric) if isinstance(metric, Loss) else ChangeSlope(metric, seed)
