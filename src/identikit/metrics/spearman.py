"""spearman: whether the model orders the examples as the target does. Pairs of sentences, or one number per example."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import Floats, Integers, Metric
from identikit.metrics.distances import signed_cosine
from identikit.metrics.outputs import described, embedding, hidden, logits, plain, shape
from identikit.metrics.positions import wide


class Spearman(Metric):
    """Spearman's rank correlation of prediction and target, ties ranked by their mean, in -1 to 1.

    Rows are [prediction, target]. A pair of sentences (two rows of the model, next to each other) predicts the cosine
    of its embeddings; a model with one number per example predicts that. Predictions that are all the same order
    nothing: 0. Targets that are all the same are an error.

    Source: Spearman 1904; equal to `scipy.stats.spearmanr`.
    """

    name = "spearman"
    mean = False

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """[examples, 2]: predicted and true score."""
        return torch.stack([scores(output, batch, metric=self.name), true_scores(batch, metric=self.name)], dim=1)

    def aggregate(self, rows: Floats) -> float:
        """The rank correlation of the two columns. MetricError where the targets do not differ."""
        if np.all(rows[:, 1] == rows[0, 1]):
            raise MetricError(
                f'metric "{self.name}" compares orders, and all {len(rows)} targets are {rows[0, 1]:g}. '
                "Use more examples (--limit), or check the target column."
            )
        return float(self.resampled(rows, np.arange(len(rows))[None])[0])

    def resampled(self, rows: Floats, index: Integers) -> Floats:
        """The rank correlation of each resample; NaN where its targets do not differ."""
        first, second = _ranks(rows[:, 0], index), _ranks(rows[:, 1], index)
        first -= first.mean(axis=1, keepdims=True)
        second -= second.mean(axis=1, keepdims=True)
        length = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        found = np.divide((first * second).sum(axis=1), length, out=np.zeros(len(index)), where=length > 0)
        return np.where((second == 0).all(axis=1), np.nan, found)


def _ranks(column: Floats, index: Integers) -> Floats:
    """Mean ranks of `column[index]` within each draw: [draws, examples]. Counts how often each value was drawn."""
    values, code = np.unique(column, return_inverse=True)
    drawn = code.reshape(-1)[index]
    offset = np.arange(len(index))[:, None] * len(values)
    counts = np.bincount((drawn + offset).reshape(-1), minlength=len(index) * len(values)).reshape(len(index), -1)
    rank = np.cumsum(counts, axis=1) - (counts - 1) / 2.0
    return np.asarray(np.take_along_axis(rank, drawn, axis=1), dtype=np.float64)


def scores(output: Any, batch: Batch, *, metric: str) -> torch.Tensor:
    """One predicted number per example: the cosine of a pair's embeddings, or the model's number. MetricError else."""
    vectors = embedding(output)
    if vectors is None and logits(output) is None and hidden(output) is None:
        vectors = plain(output)
    if vectors is not None and vectors.ndim == 2 and vectors.shape[1] > 1 and len(vectors) == 2 * batch.examples:
        return signed_cosine(wide(vectors[0::2].detach()), wide(vectors[1::2].detach())).cpu().double()
    numbers = logits(output) if logits(output) is not None else vectors
    if numbers is not None and embedding(output) is None and numbers.shape in ((batch.examples,), (batch.examples, 1)):
        return numbers.detach().reshape(-1).cpu().double()
    found = described(output) if numbers is None else shape(numbers)
    raise MetricError(
        f'metric "{metric}" needs the embeddings of {batch.examples} pairs ({2 * batch.examples} rows, each pair side '
        f"by side) or one number per example; found {found}. Give pairs of sentences (--text and --text-pair) to an "
        "embedding model, or take a regression model."
    )


def true_scores(batch: Batch, *, metric: str) -> torch.Tensor:
    """The target as one number per example: [examples]. MetricError where it is missing or has another shape."""
    if batch.target is None:
        raise MetricError(
            f'metric "{metric}" needs a target, and this batch has none. Hand over (inputs, target) '
            '(command line: --target COLUMN), or use "fidelity", which needs none.'
        )
    target = torch.as_tensor(batch.target).detach().cpu().double()
    if target.shape not in ((batch.examples,), (batch.examples, 1)):
        raise MetricError(f'metric "{metric}" needs one target per example ({batch.examples}); found {shape(target)}.')
    return target.reshape(-1)
