"""Running statistics of batch norms, taken anew: without some layers, what passes the others has another spread."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep running statistics."""
    found = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [norm for norm in found if norm.track_running_stats and norm.running_mean is not None]


def reestimated(anatomy: Anatomy, model: nn.Module, data: Iterable[Batch]) -> None:
    """Set the running statistics of `model` to the mean over all batches of `data`; nothing else changes.

    All of it is in eval mode but the norms themselves, so that dropout stays off. As `anatomy`'s model, `model` is.
    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima" (arXiv 1803.05407), section 3.2.
    """
    norms = batch_norms(model)
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked.clone() for norm in norms if norm.num_batches_tracked is not None]
    try:
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches, each counting the same
            norm.train()
        with torch.no_grad(), anatomy.family.quiet(model):
            for batch in data:
                batch.to(anatomy.device).copied().call(model)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, held in zip((norm.num_batches_tracked for norm in norms), counts, strict=True):
            if count is not None:
                count.copy_(held)
        for module, mode in modes.items():
            module.training = mode
