"""Running statistics of batch norms, moved: without some layers, what passes the others has another mean and spread.

They move by what the removal changed on the data, and no more: taken anew from a few examples they would lose to those
examples' noise what they gain. The same noise is in what the full model sees of them, so the two are set against each
other (a control variate: Lavenberg and Welch 1981, "A perspective on the use of control variables"); norms before the
first gap keep theirs to the bit. How statistics are taken: Izmailov et al. 2018 (arXiv:1803.05407), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.structure.traceless import traceless
from identikit.surgery.carried import first_paths

#: Of each batch norm (its first path) the mean and the variance of what it takes: [features] each.
Statistics = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norms that keep running statistics, by their first paths."""
    found = {path: module for path, module in model.named_modules() if isinstance(module, _BatchNorm)}
    kept = {path: norm for path, norm in found.items() if norm.track_running_stats and norm.running_mean is not None}
    return dict(zip(first_paths(model, list(kept)), kept.values(), strict=True))


def seen(anatomy: Anatomy, model: nn.Module, data: Iterable[Batch]) -> Statistics:
    """The statistics that each norm of `model` sees on `data`, the mean over all batches. The model stays as it was.

    As the model of `anatomy`, it is called; in eval mode but the norms themselves, so that dropout stays off.
    """
    norms = batch_norms(model)
    with traceless(model), anatomy.family.quiet(model):
        for norm in norms.values():
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches, each counting the same
            norm.train()
        for batch in data:
            batch.to(anatomy.device).copied().call(model)
        return {path: (_copied(norm.running_mean), _copied(norm.running_var)) for path, norm in norms.items()}


def moved(model: nn.Module, before: Statistics, after: Statistics) -> None:
    """Move the running statistics of `model` by what lies between what the full model's norms see and what its own do.

    Means by the difference, variances by the ratio.
    """
    for path, norm in batch_norms(model).items():
        (mean, var), (own_mean, own_var) = before[path], after[path]
        assert norm.running_mean is not None  # or it would not be among them
        assert norm.running_var is not None
        norm.running_mean.add_(own_mean - mean)
        norm.running_var.mul_(torch.where((var > 0) & (own_var > 0), own_var / var, 1.0))


def _copied(value: torch.Tensor | None) -> torch.Tensor:
    assert value is not None
    return value.clone()
