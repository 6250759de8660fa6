"""What a budget of size counts, measured on the model without some layers: parameters, FLOPs, speed, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from identikit.costing.cost import activation_bytes, flops_of
from identikit.errors import BudgetError
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.pruning.budgets import Budget
from identikit.pruning.space import Space
from identikit.pruning.step import Step
from identikit.pruning.times import JUDGED, pass_times, times_as_fast
from identikit.surgery.apply import install

_NEARLY = 0.975  # of a speed that was asked for; two measurements of one model differ by as much


@dataclass
class Amounts:
    """Of one search: what its budget counts of a step. `timed`: the passes that decided which step was taken."""

    anatomy: Anatomy
    space: Space
    budget: Budget
    timed: list[list[float]] = field(default_factory=list)
    _full_flops: list[int] = field(default_factory=list)

    def of(self, step: Step) -> float:
        """The layers that are gone, the share of the parameters or FLOPs that is left, times as fast, or bytes.

        Raises BudgetError where torch does not know an operation's FLOPs.
        """
        if self.budget.params is not None:
            return self.space.share_left(step.gone)
        if self.budget.flops is not None:
            if not self._full_flops:
                self._full_flops.append(self._flops(Plan()))
            return self._flops(step.plan) / max(1, self._full_flops[0])
        if self.budget.speedup is not None:
            return times_as_fast(pass_times(self.anatomy, [Plan(), step.plan]))[0]
        if self.budget.memory is not None:
            return float(self.memory(step)[0])
        return float(len(step.gone))

    def furthest(self, ends: Sequence[tuple[str, ...]]) -> float:
        """The amount at that one of the largest sets at which the budget is nearest to being reached."""
        amounts = [self.of(self.space.step(gone)) for gone in ends]
        return (min if self.budget.shrinks else max)(amounts, default=0.0)

    def settled(self, steps: Sequence[Step]) -> tuple[int, str] | None:
        """Which of `steps` is taken, now that the budget is reached at the last one, and why; None: at none of them.

        A speed is measured once more, longer and all steps in turn: the smallest set that reaches it, or all but does,
        is taken. So it is missed by less than a twentieth, and would be missed with one layer fewer gone.
        """
        last = len(steps) - 1
        if self.budget.speedup is None:
            return last, "the goal is reached."
        goal = self.budget.speedup
        self.timed = pass_times(self.anatomy, [step.plan for step in steps], rounds=JUDGED)
        speeds = [0.0, *times_as_fast(self.timed)]
        at = next((number for number, speed in enumerate(speeds) if speed >= _NEARLY * goal), None)
        if at is None:
            return None
        reached = "reached" if speeds[at] >= goal else "all but reached"
        fewer = f", and {speeds[at - 1]:.2f} times with one layer fewer gone" if at > 1 else ""
        return at, f"the goal is {reached}: a pass is {speeds[at]:.2f} times as fast{fewer}."

    def memory(self, step: Step) -> tuple[int, bool]:
        """The bytes that a pass needs: weights, buffers and the activations alive at once; whether the last are known.

        Where they are not, the bytes are those of the weights and buffers alone.
        """
        with install(self.anatomy, step.plan, check=False, decoding=False):
            activations = activation_bytes(self.anatomy)
        return self.space.bytes_left(step.gone) + (activations or 0), activations is not None

    def _flops(self, plan: Plan) -> int:
        with install(self.anatomy, plan, check=False, decoding=False):
            found = flops_of(self.anatomy)
        if found is None:
            raise BudgetError(
                "--flops needs the FLOPs of every operation, and torch's counter does not know all of this model's. "
                "Use --params or --speedup."
            )
        return found
