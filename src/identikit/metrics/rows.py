"""The checked call of a metric: rows that are not one per example, or not finite, end here with an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import Floats, Metric


def rows_of(metric: Metric, output: Any, batch: Batch, reference: Any) -> Floats:
    """The rows of `batch` as float64 on the CPU, [examples] or [examples, columns].

    Raises MetricError where `metric.values` gives no tensor, another number of rows than `batch.examples`, a shape
    that is neither 1-d nor 2-d, or a value that is NaN or infinite.
    """
    values = metric.values(output, batch, reference)
    if not isinstance(values, torch.Tensor):
        raise MetricError(
            f'metric "{metric.name}" gave {type(values).__name__}, not a tensor; '
            "return one value per example: torch.tensor([...])."
        )
    if values.ndim not in (1, 2):
        shape = "x".join(map(str, values.shape)) or "one number for the whole batch"
        raise MetricError(
            f'metric "{metric.name}" gave {shape} for {batch.examples} examples; '
            "return [examples] or [examples, columns]."
        )
    if values.shape[0] != batch.examples:
        raise MetricError(
            f'metric "{metric.name}" gave {values.shape[0]} rows for {batch.examples} examples; '
            "return one row per example."
        )
    rows = np.ascontiguousarray(values.detach().cpu().to(torch.float64).numpy())
    bad = np.flatnonzero(~np.isfinite(rows).reshape(len(rows), -1).all(axis=1))
    if bad.size:
        found = "NaN" if np.isnan(rows[bad[0]]).any() else "infinite"
        raise MetricError(
            f'metric "{metric.name}" is {found} for example {bad[0]} of a batch ({bad.size} of {len(rows)} examples): '
            "the model's output is not finite there, or the metric is not defined on it. "
            "Try a wider dtype (float32), or leave the example out."
        )
    return rows
