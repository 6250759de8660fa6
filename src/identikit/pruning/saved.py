"""How much smaller a set of layers makes a model, in what the budget counts: the FLOPs of a pass, or parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from identikit.costing.counted import counted
from identikit.families.anatomy import Anatomy
from identikit.pruning.budgets import Budget
from identikit.pruning.space import Space
from identikit.pruning.step import Step


@dataclass(frozen=True)
class Saving:
    """`flops`: of each candidate in a pass over the first batch; None: parameters count."""

    space: Space
    flops: dict[str, int] | None

    def __call__(self, step: Step) -> int:
        if self.flops is None:
            return self.space.parameters_left(()) - self.space.parameters_left(step.gone)
        return sum(self.flops[path] for path in step.gone)

    @property
    def of(self) -> str:
        """What it counts, as a word."""
        return "parameters" if self.flops is None else "FLOPs"


def saving(anatomy: Anatomy, space: Space, budget: Budget) -> Saving:
    """For a budget of parameters or bytes parameters; else FLOPs, or parameters where torch does not know them."""
    if budget.params is not None or budget.memory is not None:
        return Saving(space, None)
    return Saving(space, _flops(anatomy, space.plans))


def _flops(anatomy: Anatomy, paths: Iterable[str]) -> dict[str, int] | None:
    layers = {path: anatomy.model.get_submodule(path) for path in paths}
    known = {path: count.flops for path, count in counted(anatomy, layers).items() if count.flops is not None}
    return known if known.keys() == layers.keys() and any(known.values()) else None
