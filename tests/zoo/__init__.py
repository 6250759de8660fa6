"""Tiny real architectures with weights under which every layer matters: what the law tests run over."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from identikit.batches import Batch

from .from_transformers import TRANSFORMERS
from .pictures import PICTURES
from .plain import PLAIN


@dataclass(frozen=True)
class Case:
    """One architecture. `build` gives equal models in eval mode; `inputs` one batch, padded where it takes a mask."""

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[nn.Module], Batch]
    named: tuple[str, ...]
    """The stacks. "new|old": a library's older releases know the same container by the second name."""
    makes_needed: tuple[str, ...] = ()
    """Blocks that must be refused: later layers read what they make, or their output has another shape."""

    @property
    def stacks(self) -> tuple[str, ...]:
        """Containers whose children are whole blocks: each must be found (others may be)."""
        if not any("|" in each for each in self.named):
            return self.named
        there = {path for path, _ in self.build().named_modules()}
        return tuple(next((name for name in each.split("|") if name in there), each) for each in self.named)

    def blocks(self) -> list[str]:
        """The paths of every block that an edit must be allowed at, in the stacks' order."""
        return list(_blocks(self))


@functools.cache
def _blocks(case: Case) -> tuple[str, ...]:
    """Asked for each case many times while tests are collected: the model is built once."""
    model, stacks = case.build(), case.stacks
    paths = (f"{stack}.{name}" for stack in stacks for name, _ in model.get_submodule(stack).named_children())
    return tuple(path for path in paths if path not in case.makes_needed)


def case(name: str) -> Case:
    """The case of that name."""
    return next(entry for entry in ZOO if entry.name == name)


def weigh(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Weights drawn so that every layer matters, in place; the model in eval mode.

    Matrices keep the size of what passes through (1 / sqrt(inputs)), norms lie about what they were, running
    statistics of batch norms about theirs. Small initial weights would hide a wrong edit in the noise.
    """
    draw = torch.Generator().manual_seed(seed)

    def noise(value: torch.Tensor) -> torch.Tensor:
        return torch.randn(value.shape, generator=draw)

    with torch.no_grad():
        for module in model.modules():
            for name, value in module.named_parameters(recurse=False):
                if isinstance(module, nn.Embedding):
                    value.copy_(noise(value))
                elif value.ndim > 1 and name != "A_log":
                    value.copy_(noise(value) / _inputs(module, value) ** 0.5)
                else:
                    value.add_(0.2 * noise(value))
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.3 * noise(module.running_mean))
                module.running_var.copy_(0.5 + noise(module.running_var).abs())
    return model.eval()


def _inputs(module: nn.Module, weight: torch.Tensor) -> int:
    """How many numbers one output of this weight is a sum of."""
    if type(module).__name__ == "Conv1D":  # GPT-2 keeps its linear layers transposed
        return weight.shape[0]
    if weight.ndim == 3 and not isinstance(module, nn.Conv1d):  # experts, stacked: [expert, out, in]
        return weight.shape[2]
    return weight[0].numel()


def _case(
    name: str,
    build: Callable[[], nn.Module],
    inputs: Callable[[nn.Module], Batch],
    stacks: tuple[str, ...],
    makes_needed: tuple[str, ...],
) -> Case:
    def seeded() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build()
        return weigh(model)

    return Case(name, seeded, inputs, stacks, makes_needed)


def _absent(asked: list[str]) -> dict[str, str]:
    """Name and reason of what the installed libraries do not have of these.

    Where everything is installed nothing is `asked`: an architecture that cannot be imported is a failure there.
    """
    reasons = {}
    for name, build, *_ in (entry for entry in ALL if entry[0] in asked):
        try:
            build()
        except ImportError as missing:
            reasons[name] = " ".join(str(missing).split())
    return reasons


ALL = (*TRANSFORMERS, *PLAIN, *PICTURES)
ASKED = os.environ.get("IDENTIKIT_COMPATIBILITY", "").split()
"""scripts/compatibility.py names the part of the zoo that it runs the laws over."""

ABSENT = _absent(ASKED)
"""What is left out of that part, and why."""

ZOO: tuple[Case, ...] = tuple(
    _case(*entry) for entry in ALL if not ASKED or (entry[0] in ASKED and entry[0] not in ABSENT)
)
