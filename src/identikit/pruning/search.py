"""Greedy search with exact re-scoring: layers interact, so after each removal all that are left are scored again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from identikit.costing.cost import parameters_of
from identikit.errors import BudgetError
from identikit.places import inside
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.pruning.budgets import Budget
from identikit.pruning.reach import check_reachable, ended_early, too_strict
from identikit.results import MetricInfo, Row
from identikit.structure.stacks import members

#: The rows of plans, by name and metric; all are measured in one reading of the data.
Measure = Callable[[Mapping[str, Plan], Bar], Mapping[str, dict[str, Row]]]


@dataclass(frozen=True)
class Step:
    """One model on the way: what is gone, the layer that went last, its rows."""

    plan: Plan
    gone: tuple[str, ...] = ()
    rows: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """What there is to drop and how a model is judged: by the first metric."""

    model: nn.Module
    plans: dict[str, Plan]
    metric: str
    info: MetricInfo
    budget: Budget
    measure: Measure

    def steps(self, bar: Bar) -> tuple[list[Step], int, str]:
        """Every model on the way, which one was chosen, and why the search ended there.

        Raises BudgetError where the budget cannot be reached, naming the nearest that can.
        """
        self._check_reachable()
        steps = [Step(Plan())]
        while candidates := self.candidates(steps[-1]):
            best = self._best(steps[-1], candidates, bar)
            steps.append(best)
            if self.budget.floor and not self._holds(best):
                if len(steps) == 2:
                    raise BudgetError(self._too_strict(best))
                return steps, len(steps) - 2, self._why_not(best)
            if self.budget.reached(len(best.gone), self.share_left(best.gone)):
                return steps, len(steps) - 1, "the goal is reached."
        if not self.budget.floor:
            gone = steps[-1].gone
            raise BudgetError(ended_early(self.budget, len(gone), self.share_left(gone)))
        return steps, len(steps) - 1, "no further layer can go: each stack keeps one."

    def candidates(self, step: Step) -> list[str]:
        """The layers that may go after `step`: none that went with a layer around it; the last one of a stack stays."""
        gone = {id(self.model.get_submodule(path)) for path in step.gone}
        left = {stack: len(layers - gone) for stack, layers in self._stacks().items()}
        return [
            path
            for path in self.plans
            if path not in step.gone
            and not any(inside(path, outer) for outer in step.gone)
            and left.get(path.rpartition(".")[0], 2) > 1
        ]

    def _stacks(self) -> dict[str, set[int]]:
        """The containers that candidates stand in, and the layers that each lines up (one may stand in two slots)."""
        found: dict[str, set[int]] = {}
        for stack in dict.fromkeys(path.rpartition(".")[0] for path in self.plans):
            container = self.model.get_submodule(stack)
            if lined := members(container):
                found[stack] = {id(container.get_submodule(name)) for name in lined}
        return found

    def _best(self, step: Step, candidates: list[str], bar: Bar) -> Step:
        """The candidate whose absence costs least beside what is gone; the first in depth of equals."""
        bar.say(f"{len(step.gone)} gone, {len(candidates)} more tried")
        plans = {path: step.plan | self.plans[path] for path in candidates}
        rows = self.measure(plans, bar)
        tried = [Step(plan, without(step.gone, path), rows[path]) for path, plan in plans.items()]
        sign = -1 if self.info.higher_is_better else 1
        return min(tried, key=lambda each: sign * each.rows[self.metric].edited)

    def _holds(self, step: Step) -> bool:
        edited = step.rows[self.metric].edited
        return self.budget.holds(self.info.full, edited, self.info.higher_is_better, self.metric)

    def share_left(self, gone: tuple[str, ...]) -> float:
        return parameters_left(self.model, gone) / max(1, parameters_left(self.model, ()))

    def _check_reachable(self) -> None:
        """Drop everything that can go, the largest first; then again the innermost layers alone, which are more."""
        sizes = {path: parameters_of(self.model.get_submodule(path)) for path in self.plans}
        everything = self._emptied(sorted(self.plans, key=lambda path: -sizes[path]))
        innermost = [path for path in self.plans if not any(inside(other, path) for other in self.plans)]
        most = max(len(everything), len(self._emptied(innermost)))
        check_reachable(self.budget, self.metric, self.info, most=most, least=self.share_left(everything))

    def _emptied(self, order: list[str]) -> tuple[str, ...]:
        """What is gone once every layer went that can, in this order."""
        gone: tuple[str, ...] = ()
        for path in order:
            if path in self.candidates(Step(Plan(), gone)):
                gone = without(gone, path)
        return gone

    def _too_strict(self, best: Step) -> str:
        edited = best.rows[self.metric].edited
        return too_strict(self.budget, self.metric, self.info, edited, best.gone[-1], self.plans)

    def _why_not(self, failed: Step) -> str:
        row = failed.rows[self.metric]
        return (
            f'dropping "{failed.gone[-1]}" as well would leave {self.metric} at {row.edited:.4g}, below the goal.'
            if (self.info.higher_is_better)
            else f'dropping "{failed.gone[-1]}" as well would bring {self.metric} to {row.edited:.4g}, above the goal.'
        )


def without(gone: tuple[str, ...], path: str) -> tuple[str, ...]:
    """What is gone once `path` went too: it takes with it what lies in it."""
    return (*(each for each in gone if not inside(each, path)), path)


def parameters_left(model: nn.Module, gone: tuple[str, ...]) -> int:
    """How many parameters the model has without the layers at `gone`; shared ones stay while anyone holds them."""
    dropped = {id(module) for path in gone for module in model.get_submodule(path).modules()}
    kept = {
        id(parameter): parameter.numel()
        for module in model.modules()
        if id(module) not in dropped
        for parameter in module.parameters(recurse=False)
    }
    return sum(kept.values())
