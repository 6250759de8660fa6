"""What each residual block of a fitted estimator is worth, and dropping those that are not worth their keep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from identikit.errors import BudgetError, IdentikitError, MetricError, TableError
from identikit.metrics import Metric
from identikit.nn.tabular_resnet import TabularResNet
from identikit.progress import Board
from identikit.pruning.prune import prune
from identikit.results import Front, ScanResult
from identikit.scanning.scan import scan
from identikit.tabular.training import Rows

_BLOCKS = "blocks.*"
_ROWS = 4096  # in a batch


def measured_blocks(
    network: TabularResNet, rows: Rows, metric: Metric, *, confidence: float, progress: bool | Board | None
) -> ScanResult:
    """Each block left out in turn."""
    return scan(network, _batches(rows), _BLOCKS, metric, confidence=confidence, race=False, progress=progress)


def pruned_blocks(
    network: TabularResNet, rows: Rows, metric: Metric, *, keep: Any, progress: bool | Board | None
) -> tuple[TabularResNet, Front]:
    """The network without the blocks that it can do without, and the way there.

    Raises BudgetError where it needs them all, MetricError where its score has no share, TableError for such a `keep`.
    """
    if isinstance(keep, bool) or not isinstance(keep, int | float | np.number) or not 0 < keep <= 1:
        raise TableError(f"keep={keep!r} is no share above 0 and up to 1: 0.98 keeps 98 % of the score.")
    if len(network.blocks) == 1:
        raise BudgetError("the network has one block left, and one has to stay.")
    try:
        # the floor is a promise about these very rows, all of them
        pruned = prune(network, _batches(rows), _BLOCKS, metric, keep=float(keep), holdout=0, progress=progress)
    except (BudgetError, MetricError) as cause:
        raise _no_block_goes(
            measured_blocks(network, rows, metric, confidence=0.95, progress=False), float(keep)
        ) from cause
    assert isinstance(pruned.model, TabularResNet), "a smaller model is of the class of the model handed in"
    return pruned.model, pruned.front


def _no_block_goes(report: ScanResult, keep: float) -> IdentikitError:
    """The error for `keep` where no block can go, said as the estimators are called."""
    name, info = next(iter(report.header.metrics.items()))
    if not info.full > 0:
        return MetricError(
            f"keep is a share of the score, and {name} is {info.full:.6g} with all blocks, not above 0. "
            "Give other rows, or train further first."
        )
    best = max(report.rows, key=lambda row: row.edited)
    surely = best.edited if best.low is None else best.full + best.low  # what the floor is held against
    share = math.floor(surely / info.full * 1000) / 1000
    where = "" if surely == best.edited else ", at the worse end of its interval"
    fix = f"Try keep={share:g}." if share > 0 else "Every block is needed."
    return BudgetError(
        f"keep={keep:g} cannot be reached: without the block that is missed least ({best.places[0]}), {share:g} of "
        f"{name} is left{where}. {fix}"
    )


def _batches(rows: Rows) -> list[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
    parts = (rows.at(slice(start, start + _ROWS)) for start in range(0, len(rows), _ROWS))
    return [((part.numbers,) if part.codes is None else (part.numbers, part.codes), part.target) for part in parts]
