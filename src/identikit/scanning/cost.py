"""What each layer costs: its parameters, and its share of the time of a forward pass."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless

_PASSES = 5  # after one that warms up; the median counts


def parameters_of(module: nn.Module) -> int:
    """How many numbers a module learns; shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def pass_seconds(anatomy: Anatomy) -> float:
    """Seconds of one pass of the model, as it is now, over the anatomy's batch."""
    with anatomy.family.quiet(anatomy.model), traceless(anatomy.model):
        batch = anatomy.batch.copied()  # a model may write into its inputs
        began = _now()
        batch.call(anatomy.model)
        return _now() - began


def time_shares(anatomy: Anatomy, paths: list[str]) -> dict[str, float]:
    """The share of a pass's time that each layer takes, 0 to 1: medians over a few passes on the anatomy's batch."""
    spent: Counter[str] = Counter()

    def timed(path: str, _: nn.Module, forward: Forward) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = _now()
            try:
                return forward(*args, **kwargs)
            finally:
                spent[path] += _now() - began  # type: ignore[assignment]

        return run

    shares: list[dict[str, float]] = []
    model = anatomy.model
    layers = {path: model.get_submodule(path) for path in paths}
    with anatomy.family.quiet(model), traceless(model), overriding(layers, timed):
        for _ in range(_PASSES + 1):
            spent.clear()
            batch = anatomy.batch.copied()
            began = _now()
            batch.call(model)
            whole = _now() - began
            shares.append({path: spent[path] / whole for path in paths})
    return {path: float(np.median([each[path] for each in shares[1:]])) for path in paths}


def _now() -> float:
    """The clock, once the accelerator has done what it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
