"""What a metric is: rows for the examples of a batch, one number for all rows, and which direction is better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from identikit.batches import Batch
from identikit.errors import MetricError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Metric(ABC):
    """One way to judge a model. Subclass it for your own: set `name`, write `values`.

    A scan calls `reference` once per batch with the output of the full model, then `values` for the full model and
    for every edited one, and `aggregate` on the rows of all batches. Rows are kept per example, because the
    error bar of a difference comes from the same examples judged under both models.
    """

    name: str = ""
    higher_is_better: bool = True
    #: True: `aggregate` is the plain mean of one column, so the interval is a paired one; False: bootstrap.
    mean: bool = True
    #: How many resamples a bootstrap interval draws; lower it where `aggregate` is slow.
    draws: int = 1000
    #: The words that may follow the name, as in "fidelity:cosine". Empty: none.
    kinds: ClassVar[tuple[str, ...]] = ()

    def reference(self, output: Any, batch: Batch) -> Any:
        """What to keep of the full model's `output` on `batch`: small, detached, cloned. None where not needed."""
        return None

    @abstractmethod
    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """The rows of `batch`: a tensor [examples], or [examples, columns] where one number is not enough."""

    def aggregate(self, rows: Floats) -> float:
        """One number for all `rows` ([examples] or [examples, columns]). The mean, unless overridden.

        Raises MetricError for rows of several columns, which have no mean of their own.
        """
        if rows.ndim != 1:
            raise MetricError(
                f'metric "{self.name}" gives {rows.shape[1]} columns per example; '
                "write aggregate(rows) to make one number of them."
            )
        return float(np.mean(rows))

    def column(self, rows: Floats) -> Floats | None:
        """The one column whose plain mean is the aggregate (then the interval is a paired one), else None.

        An `aggregate` of your own is bootstrapped, whatever `mean` says, unless you override this too.
        """
        return rows if self.mean and rows.ndim == 1 and type(self).aggregate is Metric.aggregate else None

    def resampled(self, rows: Floats, index: Integers) -> Floats:
        """The aggregate of each resample; `index` is [draws, examples]. Override it where a faster way exists.

        NaN stands for a resample that has no aggregate; such draws are left out of the interval.
        """
        return np.array([self.aggregate(rows[draw]) for draw in index], dtype=np.float64)


class RatioMetric(Metric):
    """A metric whose rows are [sum, count] and whose aggregate is all sums over all counts (a mean over tokens)."""

    mean = False

    def aggregate(self, rows: Floats) -> float:
        """All sums over all counts for rows [examples, 2], NaN where nothing counts; the mean for rows [examples]."""
        if rows.ndim == 1:
            return float(np.mean(rows))
        return float(_over(np.sum(rows[:, 0]), np.sum(rows[:, 1])))

    def column(self, rows: Floats) -> Floats | None:
        """Where every example counts the same (one label each, blocks of one length) the ratio is a plain mean."""
        if rows.ndim == 1:
            return rows
        counts = rows[:, 1]
        same = counts.size > 0 and counts[0] > 0 and bool(np.all(counts == counts[0]))
        return rows[:, 0] / counts if same else None

    def resampled(self, rows: Floats, index: Integers) -> Floats:
        """The ratio of each resample."""
        if rows.ndim == 1:
            return np.asarray(np.mean(rows[index], axis=1), dtype=np.float64)
        return _over(np.sum(rows[:, 0][index], axis=1), np.sum(rows[:, 1][index], axis=1))


def _over(sums: Any, counts: Any) -> Floats:
    """sums / counts, NaN where nothing was counted."""
    return np.asarray(np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=np.asarray(counts) > 0))
