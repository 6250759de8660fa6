"""The loss of each row from logits and target: its sum and how many positions it is over.

Legend of the suffixes: r rows of the model, t positions (tokens, pixels), c classes, n positions that count.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from identikit.errors import MetricError
from identikit.metrics.outputs import shape
from identikit.metrics.positions import IGNORED, wide

_CHUNK = 1 << 22  # numbers worked on at once


def aligned(task: str, logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [R, T, C] and target [R, T], position for position: for `causal`, each position beside the next token."""
    if task == "causal":
        return logits[:, :-1], target[:, 1:]
    if task == "classes":
        return logits.unsqueeze(1), target.unsqueeze(1)
    if logits.ndim == 3 and target.shape == logits.shape[:2]:
        return logits, target
    # Classes in dimension 1, as torch's cross_entropy takes them.
    return logits.flatten(2).transpose(1, 2), target.flatten(1)


def cost(task: str, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """[R, 2] in float64 on the CPU: the summed loss of each row and how many positions it counts.

    Cross-entropy in nats (`classes causal tokens`; positions of target -100 are left out), squared error or binary
    cross-entropy (averaged over the numbers of a row, count 1). Raises MetricError for a class that does not exist.
    """
    if task in ("squared", "binary"):
        loss = _each(task, wide(logits), target)
        return torch.stack([loss, torch.ones_like(loss)], dim=1)
    logits_rtc, target_rt = aligned(task, logits, target)
    check_classes(target_rt, logits_rtc.shape[-1])
    rows, tokens, _ = logits_rtc.shape
    counted = target_rt != IGNORED
    sums = torch.zeros(rows * tokens, dtype=torch.float64)
    row, column = counted.nonzero(as_tuple=True)
    step = max(1, _CHUNK // logits_rtc.shape[-1])
    for start in range(0, len(row), step):
        part = (row[start : start + step], column[start : start + step])
        loss = functional.cross_entropy(wide(logits_rtc[part]), target_rt[part].long(), reduction="none")
        sums[(part[0] * tokens + part[1]).cpu()] = loss.cpu().double()
    return torch.stack([sums.reshape(rows, tokens).sum(dim=1), counted.sum(dim=1).cpu().double()], dim=1)


def total(cost_r2: torch.Tensor) -> float:
    """All sums over all counts; NaN where nothing is counted."""
    return float(cost_r2[:, 0].sum() / cost_r2[:, 1].sum())


def check_classes(target: torch.Tensor, classes: int) -> None:
    """MetricError where a target names a class outside 0 to `classes` - 1 (and is not -100, which is left out)."""
    wrong = ((target < 0) & (target != IGNORED)) | (target >= classes)
    if bool(wrong.any()):
        where = wrong.nonzero()[0].tolist()
        raise MetricError(
            f"the target of row {where[0]} is class {int(target[tuple(where)])}, and the logits have {classes} classes "
            f"(0 to {classes - 1}). Number the classes from 0; mark what is not to be judged with -100."
        )


def _each(task: str, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error or binary cross-entropy, averaged within each row: [R]."""
    if target.shape != logits.shape:
        raise MetricError(f"the output is {shape(logits)} and the target {shape(target)}; they must be the same.")
    wanted = target.to(logits.dtype)
    if task == "binary":
        loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    else:
        loss = (logits - wanted).square()
    return loss.reshape(len(loss), -1).cpu().double().mean(dim=1)
