"""How long each layer takes in one pass: the median of several passes, and an interval of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn

from identikit.costing.outermost import outermost
from identikit.families.anatomy import Anatomy
from identikit.structure.override import overriding
from identikit.structure.traceless import traceless
from identikit.structure.valueless import home_of

PASSES = 6  # after one that warms up: the fewest whose smallest and largest bound the median with 95 %
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Latency:
    """A layer's seconds in one pass (all its calls): median, its interval; and its share of the pass (0 to 1)."""

    seconds: float
    low: float
    high: float
    share: float


class Clock:
    """Seconds, read once every accelerator that `model` runs on has done what it was given."""

    def __init__(self, model: nn.Module) -> None:
        devices = {value.device for value in [*model.parameters(), *model.buffers()]}
        if torch.cuda.is_initialized():  # weights that were put aside are fetched to a device that none of them names
            devices.add(torch.device("cuda", torch.cuda.current_device()))
        self._devices = [device for device in devices if device.type not in ("cpu", "meta")]

    def now(self) -> float:
        for device in self._devices:
            torch.accelerator.synchronize(device)
        return time.perf_counter()


def latencies(anatomy: Anatomy, layers: dict[str, nn.Module]) -> dict[str, Latency]:
    """The time of each layer that runs, over the anatomy's batch; none for a model without values (meta device)."""
    model = anatomy.model
    home, timer = home_of(model), _Timer(Clock(model))
    if home is not None and home.type == "meta":
        return {}
    wholes: list[float] = []
    with anatomy.family.quiet(model), overriding(layers, outermost(timer.begin, timer.end)):
        for _ in range(PASSES + 1):
            with traceless(model):
                batch = anatomy.batch.copied()  # a model may write into its inputs
                timer.passes.append({})
                began = timer.clock.now()
                batch.call(model)
                wholes.append(timer.clock.now() - began)
    spent, wholes = timer.passes[1:], wholes[1:]
    found = {}
    for path in spent[0]:
        times = [each.get(path, 0.0) for each in spent]
        share = median([time / whole for time, whole in zip(times, wholes, strict=True)])
        found[path] = Latency(median(times), *interval(times), min(1.0, share))
    return found


def median(values: Sequence[float]) -> float:
    """The middle value; of an even number the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval(values: Sequence[float], confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """The narrowest pair of the k-th smallest and k-th largest that holds the median with `confidence`.

    Whatever the values' distribution; P(it lies outside) = 2 P(B < k), B binomial(n, 1/2). Fewer than 6 values cannot
    reach 95 %: then it is the smallest and the largest. Of passes that are not independent (another program runs) it
    says less. Source: David and Nagaraja, Order Statistics (3rd edition, 2003), section 7.1.
    """
    ordered, number = sorted(values), len(values)
    outside = accumulate(math.comb(number, left_out) for left_out in range((number + 1) // 2))
    most = (1.0 - confidence) * 2**number
    end = max(0, sum(2 * ways <= most for ways in outside) - 1)  # values left out at each end
    return ordered[end], ordered[number - 1 - end]


class _Timer:
    """The seconds of each layer in each pass."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.passes: list[dict[str, float]] = []

    def begin(self) -> float:
        return self.clock.now()

    def end(self, path: str, began: float) -> None:
        spent = self.passes[-1]
        spent[path] = spent.get(path, 0.0) + self.clock.now() - began
