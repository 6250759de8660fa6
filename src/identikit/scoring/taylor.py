"""Taylor scores: what taking a layer out would change to first order, one forward and one backward for all layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from identikit.batches import Batch, nth
from identikit.errors import MetricError, NotReachedError
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.plan import Edit, Plan
from identikit.scoring.by_example import finite
from identikit.scoring.gates import METHOD as METHOD
from identikit.scoring.gates import Gates
from identikit.scoring.passes import run_plainly
from identikit.scoring.slopes import Slope, slope_for
from identikit.structure.watch import counting
from identikit.surgery.choose import check_plans


def scores(
    anatomy: Anatomy,
    data: Iterable[Batch],
    plans: Mapping[str, Plan],
    *,
    metric: Metric | None = None,
    seed: int = 0,
) -> dict[str, Floats]:
    """The first-order effect of each plan: name to [examples], in the data's order.

    Behind every layer of the plans stands a gate g, one for each example: absent + g * (output - absent), where absent
    is what the plan's edit gives (the stream for a block, zeros for a branch, the mean...). Taking the layer out moves
    g from 1 to 0. The layers of one plan share their gate.

    Where `metric` is the loss (or perplexity): -dloss/dg, positive where the layer is missed, in the loss's own units;
    its mean over the examples is the first-order change of the metric. Else, as fidelity has no slope at the full
    model: |du/dg|^2 of what fidelity compares (unit vectors), averaged over the positions that count, by one random
    direction for each example; half of it is the fall of a cosine to second order, twice that of logits the
    Kullback-Leibler divergence. It is unbiased but noisy: the mean over examples is what it is for.

    All layers share one forward and one backward a batch; the weights need no gradients and get none. The memory is
    that of a training step without them.
    Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", arXiv:1906.10771 (a gate's
    gradient; they square it); Kim et al. 2024, "Shortened LLaMA", arXiv:2402.02834, for whole blocks.
    Raises MetricError where no gradient reaches a layer, the model cannot be differentiated or a score is not finite.
    """
    edits, tensors = _edits(anatomy, plans)
    gates = Gates(anatomy, {edit.at: edit for edits_ in edits.values() for edit in edits_}, tensors)
    slope = slope_for(metric, seed)
    device = anatomy.device
    parts: list[dict[str, torch.Tensor]] = []
    for number, batch in enumerate(data):
        here = batch.to(device)
        gates.begin(here, device)
        gradients = _gradients(anatomy, gates, slope, here, seed + number)
        _require_all(gates, gradients, number)
        part = {path: value.cpu() for path, value in gradients.items() if value is not None}
        parts.append({path: finite(value, layer=path, method=METHOD) for path, value in part.items()})
    by_path = {path: np.concatenate([part[path].double().numpy() for part in parts]) for path in gates.modules}
    summed = {name: np.sum([by_path[edit.at] for edit in edits_], axis=0) for name, edits_ in edits.items()}
    return {name: slope.scores(gradient) for name, gradient in summed.items()}


def _edits(anatomy: Anatomy, plans: Mapping[str, Plan]) -> tuple[dict[str, list[Edit]], dict[str, Any]]:
    """The edits of each plan in present paths, and the tensors of all. MetricError for two edits at one layer."""
    edits = dict(zip(plans, check_plans(anatomy, plans.values()), strict=True))
    known: dict[str, Edit] = {}
    for edit in (edit for found in edits.values() for edit in found):
        if known.setdefault(edit.at, edit) != edit:
            raise MetricError(f'{METHOD} judges one edit at "{edit.at}", not two ({known[edit.at]}; {edit}).')
    return edits, {name: value for plan in plans.values() for name, value in plan.tensors.items()}


def _gradients(anatomy: Anatomy, gates: Gates, slope: Slope, batch: Batch, seed: int) -> dict[str, torch.Tensor | None]:
    """The derivative of the slope's total by each gate: path to [examples]; None where it does not depend on one."""
    model = anatomy.model
    try:
        with counting(model), _frozen(model):
            output = run_plainly(anatomy, batch, seed, gates.modules, gates.around, gradients=True)
            with torch.enable_grad():
                total = slope.total(output, batch)
            if not total.requires_grad:
                raise MetricError(
                    f"the output of {type(model).__name__} carries no gradient (it runs under torch.no_grad, or "
                    f'detaches what it returns), so method="{METHOD}" cannot be used. Use "exact" or "influence".'
                )
            found = torch.autograd.grad(total, list(gates.leaf.values()), allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as cause:
        said = " ".join(str(cause).split())
        raise MetricError(
            f"{type(model).__name__} cannot be differentiated ({type(cause).__name__}: {said}). "
            'Use method="exact" or method="influence".'
        ) from cause
    return dict(zip(gates.leaf, found, strict=True))


def _require_all(gates: Gates, gradients: Mapping[str, torch.Tensor | None], number: int) -> None:
    for path, gradient in gradients.items():
        if not gates.calls[path]:
            raise NotReachedError(
                f'"{path}" did not run on the {nth(number)} batch of the data, so {METHOD} has no score for it. '
                'Use method="exact", or leave it out (at=...).'
            )
        if gradient is None:
            raise MetricError(
                f'no gradient reaches "{path}": the output does not depend on it, or a layer behind it detaches. '
                f'{METHOD} cannot judge it; use method="exact".'
            )


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Parameters without gradients: nothing is kept for them. As they were afterwards."""
    learning = [each for each in model.parameters() if each.requires_grad and each.is_leaf]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
