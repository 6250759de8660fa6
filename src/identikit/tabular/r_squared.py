"""r2: the share of the target's variance that the predictions explain, as scikit-learn's regressors score it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics import Metric
from identikit.metrics.base import Floats, Integers


class RSquared(Metric):
    """1 - (squared error) / (squared distance from the mean), at most 1; the mean over outputs where there are several.

    Rows are [predictions, targets]. A prediction of the mean scores 0; targets that are all the same are an error.

    Source: equal to `sklearn.metrics.r2_score`.
    """

    name = "r2"
    mean = False

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """[examples, 2 * outputs]: what was predicted and what was true."""
        return torch.cat([output.detach(), torch.as_tensor(batch.target)], dim=1).cpu().double()

    def aggregate(self, rows: Floats) -> float:
        """R² of all rows. MetricError where the targets of an output do not differ."""
        true = rows[:, rows.shape[1] // 2 :]
        if (true == true[0]).all(axis=0).any():
            raise MetricError(
                f'metric "{self.name}" needs targets that differ; all {len(rows)} are the same. Give more rows.'
            )
        return float(self.resampled(rows, np.arange(len(rows))[None])[0])

    def resampled(self, rows: Floats, index: Integers) -> Floats:
        """R² of each resample; NaN where its targets do not differ."""
        predicted, true = np.split(rows, 2, axis=1)
        error, drawn = ((predicted - true) ** 2)[index].sum(axis=1), true[index]
        spread = ((drawn - drawn.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        share = np.divide(error, spread, out=np.full(spread.shape, np.nan), where=spread > 0)
        return np.asarray(1 - share.mean(axis=1), dtype=np.float64)
