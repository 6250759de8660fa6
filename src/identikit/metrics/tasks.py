"""What task a batch is: how logits and target belong together, proved by the model's own loss where it has one."""

from __future__ import annotations

import math
from typing import Any

import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.cost import cost, total
from identikit.metrics.outputs import described, own_loss, predictions, shape
from identikit.metrics.positions import IGNORED

#: classes: one class per row. causal: the next token. tokens: one class at each position. squared: numbers to meet.
#: binary: yes or no.
TASKS = ("classes", "causal", "tokens", "squared", "binary")


def judged(output: Any, batch: Batch, *, metric: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What `paired` gives, without a gradient."""
    logits, target = paired(output, batch, metric=metric)
    return logits.detach(), target


def paired(output: Any, batch: Batch, *, metric: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of `output` and the target of `batch`, on one device; a last dimension of 1 is dropped from a target.

    Raises MetricError where one of the two is missing or is no tensor of numbers.
    """
    if batch.target is None:
        raise MetricError(
            f'metric "{metric}" needs a target, and this batch has none. Hand over (inputs, target) or a dict with '
            'labels (command line: --target COLUMN), or use "fidelity", which needs none.'
        )
    try:
        target = torch.as_tensor(batch.target)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError(
            f'metric "{metric}" takes a target that is a tensor or a list of numbers; found '
            f"{type(batch.target).__name__}. Write the metric yourself for another: file.py:function."
        ) from error
    logits = predictions(output)
    if logits is None or logits.ndim == 0:
        raise MetricError(f'metric "{metric}" needs logits, and this output ({described(output)}) has none.')
    if target.ndim == 2 and target.shape[1] == 1 and logits.ndim <= 2:
        target = target.squeeze(1)
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits = logits.squeeze(1)
    return logits, target.detach().to(logits.device)


def task_of(output: Any, batch: Batch, *, metric: str, kind: str | None, among: tuple[str, ...], verify: bool) -> str:
    """The task of this batch, one of `among`.

    `kind` is the user's word and is believed. Otherwise the shapes and the kind of number leave one or two candidates,
    and the model's own loss decides: the candidate whose mean equals it (`verify`: even where there is one only).
    Without a loss: a target that equals the input ids is predicted one token ahead; other tokens at their place; one
    number per row is squared. Raises MetricError, naming the word to say, where nothing decides.
    """
    logits, target = judged(output, batch, metric=metric)
    fit = candidates(logits, target)
    allowed = [task for task in fit if task in among]
    if kind is not None:
        allowed = [task for task in fit if task == kind]
    if not allowed:
        dtype = str(target.dtype).removeprefix("torch.")
        found = f"the output is {shape(logits)} and the target {shape(target)} of {dtype}"
        raise MetricError(f'metric "{metric}" cannot be computed: {found}. {_advice(logits, target, fit)}')
    own = own_loss(output)
    if kind is not None or (len(allowed) == 1 and (own is None or not verify)):
        return allowed[0]
    if own is not None:
        return _by_loss(own, logits, target, allowed, metric)
    return _by_shape(batch, target, allowed, metric)


def candidates(logits: torch.Tensor, target: torch.Tensor) -> list[str]:
    """The tasks that the shapes and the kind of the target allow, the likelier first."""
    real = target.is_floating_point()
    if target.shape == logits.shape:
        return ["squared", "binary"] if bool(((target >= 0) & (target <= 1)).all()) else ["squared"]
    if real:
        return []
    if logits.ndim == 2 and target.shape == logits.shape[:1]:
        return ["classes"]
    if logits.ndim == 3 and target.shape == logits.shape[:2]:
        return ["causal", "tokens"]
    if logits.ndim >= 3 and target.shape == (logits.shape[0], *logits.shape[2:]):
        return ["tokens"]
    return []


def _by_loss(own: float, logits: torch.Tensor, target: torch.Tensor, allowed: list[str], metric: str) -> str:
    """The candidate whose loss is the model's own, to the precision of the model's dtype; nearest first."""
    means = {task: total(cost(task, logits, target)) for task in allowed}
    known = [task for task in allowed if math.isfinite(means[task])]
    if not known:
        return allowed[0]  # nothing is counted, or nothing is finite: the check of the rows says so
    nearest = min(known, key=lambda task: abs(means[task] - own))
    # The model may have rounded its loss to half precision: 2**-8 of the value.
    tolerance = 1e-4 if logits.dtype in (torch.float32, torch.float64) else 1e-2
    if abs(means[nearest] - own) <= tolerance * max(1.0, abs(own)):
        return nearest
    base = metric.split(":")[0]
    listed = ", ".join(f"{mean:.4f} ({task})" for task, mean in means.items())
    words = " or ".join(f'"{base}:{task}"' for task in allowed)
    raise MetricError(
        f'metric "{metric}" is not the loss this model computes: its own is {own:.4f}, from logits and target it would '
        f"be {listed}. Say which you mean: {words}; or write it yourself: file.py:function."
    )


def _by_shape(batch: Batch, target: torch.Tensor, allowed: list[str], metric: str) -> str:
    """Without a loss of the model's own: what the target and the inputs show."""
    if "causal" in allowed:
        return "causal" if _repeats_inputs(batch, target) else "tokens"
    if target.is_floating_point() and target.ndim == 1:
        return "squared"
    base = metric.split(":")[0]
    raise MetricError(
        f'metric "{metric}": the target may be numbers to meet or answers of yes and no. '
        f'Say which: "{base}:squared" or "{base}:binary".'
    )


def _repeats_inputs(batch: Batch, target: torch.Tensor) -> bool:
    """True where the target is the input ids themselves (ignored positions aside): then the next token is meant."""
    ids = batch.kwargs.get("input_ids", batch.args[0] if batch.args else None)
    if not isinstance(ids, torch.Tensor) or ids.shape != target.shape:
        return False
    same = (ids.to(target.device) == target) | (target == IGNORED)
    return bool(same.all())


def _advice(logits: torch.Tensor, target: torch.Tensor, fit: list[str]) -> str:
    """The end of the message for shapes that do not fit."""
    if fit:
        return f"They fit {' or '.join(f'loss:{task}' for task in fit)}."
    if target.is_floating_point() and logits.ndim >= 2 and target.shape == logits.shape[:1]:
        return "Class numbers must be integers: target.long()."
    return "Expected logits [examples, classes] with a target [examples], one for each token, or one shape for both."
