"""What each residual block of a fitted estimator is worth, and dropping those that are not worth their keep."""

from __future__ import annotations

import torch

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
    return scan(network, _batches(rows), _BLOCKS, metric, confidence=confidence, progress=progress)


def pruned_blocks(
    network: TabularResNet, rows: Rows, metric: Metric, *, keep: float, progress: bool | Board | None
) -> tuple[TabularResNet, Front]:
    """The network without the blocks that it can do without, and the way there. BudgetError where it needs them all."""
    pruned = prune(network, _batches(rows), _BLOCKS, metric, keep=keep, progress=progress)
    assert isinstance(pruned.model, TabularResNet), "a smaller model is of the class of the model handed in"
    return pruned.model, pruned.front


def _batches(rows: Rows) -> list[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
    parts = (rows.at(slice(start, start + _ROWS)) for start in range(0, len(rows), _ROWS))
    return [((part.numbers,) if part.codes is None else (part.numbers, part.codes), part.target) for part in parts]
