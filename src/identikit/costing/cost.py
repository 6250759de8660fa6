"""What each layer costs: parameters, FLOPs, time and activation memory in a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from identikit.costing.counted import counted
from identikit.costing.latency import Clock, latencies
from identikit.families.anatomy import Anatomy
from identikit.structure.traceless import traceless


@dataclass(frozen=True)
class Cost:
    """One layer in one pass over the first batch, on the machine that ran it; None: not known, or it did not run.

    flops: of all its calls, as FlopCounterMode counts. seconds: the median of all its calls' time, within `low` and
    `high` with 95 %. share: of the pass's time, 0 to 1. memory: the most bytes of activations alive at once during
    a call, beyond those when it began, without gradients.
    """

    flops: int | None = None
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    share: float | None = None
    memory: int | None = None


def parameters_of(module: nn.Module) -> int:
    """How many numbers a module learns; shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def costs_of(anatomy: Anatomy, paths: Sequence[str]) -> dict[str, Cost]:
    """The cost of each layer over the anatomy's batch, in eight passes: one that counts, one to warm up, six timed.

    Of a layer inside another one both have their numbers. The model is left as it was.
    """
    layers = {path: anatomy.model.get_submodule(path) for path in paths}
    counts = counted(anatomy, layers)
    times = latencies(anatomy, layers)
    found = {}
    for path in layers:
        count, time = counts.get(path), times.get(path)
        found[path] = Cost(
            flops=count.flops if count else None,
            memory=count.memory if count else None,
            seconds=time.seconds if time else None,
            low=time.low if time else None,
            high=time.high if time else None,
            share=time.share if time else None,
        )
    return found


def flops_of(anatomy: Anatomy) -> int | None:
    """FLOPs of one pass of the model, as it is now, over the anatomy's batch; None where that is not known."""
    found = counted(anatomy, {"": anatomy.model})
    return found[""].flops


def activation_bytes(anatomy: Anatomy) -> int | None:
    """Bytes of activations alive at once in a pass of the model, as it is now, at most; None where not known."""
    found = counted(anatomy, {"": anatomy.model})
    return found[""].memory


def pass_seconds(anatomy: Anatomy) -> float:
    """Seconds of one pass of the model, as it is now, over the anatomy's batch."""
    clock = Clock(anatomy.model)
    with anatomy.family.quiet(anatomy.model), traceless(anatomy.model):
        batch = anatomy.batch.copied()  # a model may write into its inputs
        began = clock.now()
        batch.call(anatomy.model)
        return clock.now() - began
