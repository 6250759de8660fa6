"""What each layer costs: its parameters, and its share of the time of a forward pass."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless

_PASSES = 5  # after one that warms up; the median counts


def parameters_of(module: nn.Module) -> int:
    """How many numbers a module learns; shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def latency(anatomy: Anatomy, repeats: int = 7) -> float:
    """Median seconds of one pass of the model, as it is now, over the anatomy's batch; after one that warms up."""
    seconds: list[float] = []
    with anatomy.family.quiet(anatomy.model), traceless(anatomy.model):
        for _ in range(repeats + 1):
            began = time.perf_counter()
            anatomy.batch.call(anatomy.model)
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def time_shares(anatomy: Anatomy, paths: list[str]) -> dict[str, float]:
    """The share of a pass's time that each layer takes, 0 to 1: medians over a few passes on the anatomy's batch."""
    spent: Counter[str] = Counter()

    def timed(path: str, _: nn.Module, forward: Forward) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return forward(*args, **kwargs)
            finally:
                spent[path] += time.perf_counter() - began  # type: ignore[assignment]

        return run

    shares: list[dict[str, float]] = []
    model = anatomy.model
    layers = {path: model.get_submodule(path) for path in paths}
    with anatomy.family.quiet(model), traceless(model), overriding(layers, timed):
        for _ in range(_PASSES + 1):
            spent.clear()
            began = time.perf_counter()
            anatomy.batch.call(model)
            whole = time.perf_counter() - began
            shares.append({path: spent[path] / whole for path in paths})
    return {path: float(np.median([each[path] for each in shares[1:]])) for path in paths}
