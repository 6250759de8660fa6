"""One plain pass over a batch with the forwards of some layers made over: what every cheap score is read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless


def run_plainly(
    anatomy: Anatomy,
    batch: Batch,
    seed: int,
    modules: dict[str, nn.Module],
    make: Callable[[str, nn.Module, Forward], Forward],
    *,
    gradients: bool = False,
) -> Any:
    """The output of one pass without a trace, `modules` running as `make` says; random numbers come from `seed`.

    With `gradients` operations are recorded for a backward pass.
    """
    model = anatomy.model
    with anatomy.family.quiet(model), traceless(model), overriding(modules, make), torch.set_grad_enabled(gradients):
        torch.manual_seed(seed)
        return batch.copied().call(model)  # a model may write into its inputs
