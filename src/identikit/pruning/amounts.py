"""What a budget of size counts, measured on the model without some layers: parameters, FLOPs, or how fast a pass is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from identikit.costing.cost import flops_of, pass_seconds
from identikit.errors import BudgetError
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.pruning.budgets import Budget
from identikit.pruning.space import Space
from identikit.pruning.step import Step
from identikit.surgery.apply import install

_PASSES = 7  # timed for each plan, in turn, after one that warms up
_JUDGED = 15  # passes where the time decides


@dataclass
class Amounts:
    """Of one search: what its budget counts of a step."""

    anatomy: Anatomy
    space: Space
    budget: Budget
    _full_flops: list[int] = field(default_factory=list)

    def of(self, step: Step) -> float:
        """The layers that are gone, the share of the parameters or of the FLOPs that is left, or times as fast.

        Raises BudgetError where torch does not know an operation's FLOPs.
        """
        if self.budget.params is not None:
            return self.space.share_left(step.gone)
        if self.budget.flops is not None:
            if not self._full_flops:
                self._full_flops.append(self._flops(Plan()))
            return self._flops(step.plan) / max(1, self._full_flops[0])
        if self.budget.speedup is not None:
            full, without = pass_times(self.anatomy, [Plan(), step.plan], passes=_JUDGED)
            return full / without
        return float(len(step.gone))

    def furthest(self, ends: Sequence[tuple[str, ...]]) -> float:
        """The amount at that one of the largest sets at which the budget is nearest to being reached."""
        amounts = [self.of(self.space.step(gone)) for gone in ends]
        return (min if self.budget.params or self.budget.flops else max)(amounts, default=0.0)

    def _flops(self, plan: Plan) -> int:
        with install(self.anatomy, plan, check=False, decoding=False):
            found = flops_of(self.anatomy)
        if found is None:
            raise BudgetError(
                "--flops needs the FLOPs of every operation, and torch's counter does not know all of this model's. "
                "Use --params or --speedup."
            )
        return found


def pass_times(anatomy: Anatomy, plans: Sequence[Plan], *, passes: int = _PASSES) -> list[float]:
    """Seconds of a pass over the first batch under each plan: the fastest of a few, as a busy machine only adds."""
    seconds: list[list[float]] = [[] for _ in plans]
    for _ in range(passes + 1):
        for plan, taken in zip(plans, seconds, strict=True):
            with install(anatomy, plan, check=False, decoding=False):
                taken.append(pass_seconds(anatomy))
    return [min(taken[1:]) for taken in seconds]
