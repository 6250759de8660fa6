"""One pass that counts: the FLOPs and the activation memory of each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from identikit.costing.flops import Flops
from identikit.costing.memory import Alive
from identikit.costing.outermost import outermost
from identikit.families.anatomy import Anatomy
from identikit.structure.override import overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import leaves
from identikit.structure.watch import counting

_ONE_PRODUCT = 3  # matrices that one product takes at most, with what is added; more: what lies between is not seen


@dataclass(frozen=True)
class Counted:
    """A layer in one pass: FLOPs (of all its calls), bytes (of the call that needs most); None: not known."""

    flops: int | None
    memory: int | None


def counted(anatomy: Anatomy, layers: dict[str, nn.Module]) -> dict[str, Counted]:
    """The counts of each layer that runs, over the anatomy's batch."""
    model, counter = anatomy.model, _Counter()
    with anatomy.family.quiet(model), counting(model), traceless(model):
        batch = anatomy.batch.copied()  # a model may write into its inputs
        # The counter's mode is the inner one and takes composite operations apart; ours sees what is run.
        with overriding(layers, outermost(counter.begin, counter.end)), counter, counter.flops.mode:
            batch.call(model)
    found = {}
    for path, calls in counter.calls.items():
        flops, bytes_ = [call[0] for call in calls], [call[1] for call in calls]
        count = counter.flops.believable(layers[path], _joined(flops, sum))
        found[path] = Counted(count, _joined(bytes_, max))
    return found


class _Counter(TorchDispatchMode):
    """Tells both counts of each operation, and of each call of an overridden forward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = Flops()
        self.alive = Alive()
        self.calls: dict[str, list[tuple[int | None, int | None]]] = {}

    def begin(self) -> None:
        self.flops.begin()
        self.alive.begin()

    def end(self, path: str, _: None) -> None:
        self.calls.setdefault(path, []).append((self.flops.end(), self.alive.end()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [value for _, value in leaves((args, kwargs or {})) if isinstance(value, torch.Tensor)]
        if not self.flops.note(func, inputs, result) and sum(value.ndim > 1 for value in inputs) > _ONE_PRODUCT:
            self.alive.lose()
        self.alive.note(func, inputs, result)
        return result


def _joined(found: Sequence[int | None], join: Callable[[list[int]], int]) -> int | None:
    """The calls of one layer as one number; None where one of them is not known."""
    known = [each for each in found if each is not None]
    return join(known) if len(known) == len(found) else None
