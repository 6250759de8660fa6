"""Greedy search with exact re-scoring: layers interact, so after each removal all that are left are scored again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from identikit.errors import BudgetError
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.pruning.budgets import Budget
from identikit.results import MetricInfo, Row
from identikit.scanning.statistics import drops, keeps
from identikit.structure.stacks import numbered_children, stack_of

Measure = Callable[[Plan], dict[str, Row]]


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
        while candidates := self._candidates(steps[-1]):
            best = self._best(steps[-1], candidates, bar)
            steps.append(best)
            if self.budget.floor and not self._holds(best):
                if len(steps) == 2:
                    raise BudgetError(self._too_strict(best))
                return steps, len(steps) - 2, self._why_not(best)
            if self.budget.reached(len(best.gone), self._share_left(best.gone)):
                return steps, len(steps) - 1, "the goal is reached."
        return steps, len(steps) - 1, "no further layer can go: each stack keeps one."

    def _candidates(self, step: Step) -> list[str]:
        """The layers that may go next; the last one of a stack stays."""
        left: dict[str, int] = {}
        for path in self.plans:
            place = stack_of(path)
            if place is not None:
                depth = len(numbered_children(self.model.get_submodule(place[0])))
                left[place[0]] = depth - sum(other.rpartition(".")[0] == place[0] for other in step.gone)
        return [path for path in self.plans if path not in step.gone and left.get(path.rpartition(".")[0], 2) > 1]

    def _best(self, step: Step, candidates: list[str], bar: Bar) -> Step:
        """The candidate whose absence costs least beside what is gone; the first in depth of equals."""
        tried: list[Step] = []
        for path in candidates:
            bar.say(f"without {' + '.join((*step.gone, path))}")
            plan = step.plan | self.plans[path]
            tried.append(Step(plan, (*step.gone, path), self.measure(plan)))
            bar.advance()
        sign = -1 if self.info.higher_is_better else 1
        return min(tried, key=lambda each: sign * each.rows[self.metric].edited)

    def _holds(self, step: Step) -> bool:
        edited = step.rows[self.metric].edited
        return self.budget.holds(self.info.full, edited, self.info.higher_is_better, self.metric)

    def _share_left(self, gone: tuple[str, ...]) -> float:
        return parameters_left(self.model, gone) / max(1, parameters_left(self.model, ()))

    def _check_reachable(self) -> None:
        """Refuse before any work what arithmetic alone rules out."""
        if self.budget.keep is not None:
            keeps(self.info.full, self.info.full, self.info.higher_is_better, name=self.metric)
        everything = Step(Plan())
        while candidates := self._candidates(everything):
            everything = Step(Plan(), (*everything.gone, candidates[0]))
        most = len(everything.gone)
        if self.budget.drop is not None and self.budget.drop > most:
            raise BudgetError(f"--drop {self.budget.drop} cannot be reached: {most} layers can go. Try --drop {most}.")
        if self.budget.params is not None:
            least = self._share_left(everything.gone)
            if least > self.budget.params:
                nearest = -(-least // 0.01) / 100
                raise BudgetError(
                    f"--params {self.budget.params:g} cannot be reached: without all {most} layers that can go, "
                    f"{least:.1%} of the parameters are left. Try --params {nearest:g}."
                )

    def _too_strict(self, best: Step) -> str:
        """The message for a floor that even the best single drop breaks."""
        path, edited = best.gone[0], best.rows[self.metric].edited
        stacks = sorted({each.rpartition(".")[0] for each in self.plans})
        asked = "--keep" if self.budget.keep is not None else "--max-drop"
        if self.budget.keep is not None:
            kept = keeps(self.info.full, edited, self.info.higher_is_better, name=self.metric)
            found, nearest = f"keeps {kept:.3g}", f"{int(kept * 1000) / 1000:g}" if kept > 0.001 else "less"
        else:
            cost = drops(self.info.full, edited, self.info.higher_is_better)
            found, nearest = f"costs {cost:.3g}", f"{cost * 1.01:.3g}"
        value = self.budget.keep if self.budget.keep is not None else self.budget.max_drop
        layer = path.rpartition(".")[2]
        where = ", ".join(f'"{stack}.*"' if stack else '"*"' for stack in stacks)
        return (
            f"{asked} {value:g} cannot be reached by dropping any layer of {where}; "
            f"the best single drop (layer {layer}) {found}. Try {asked} {nearest}, or heal after dropping."
        )

    def _why_not(self, failed: Step) -> str:
        row = failed.rows[self.metric]
        return (
            f'dropping "{failed.gone[-1]}" as well would leave {self.metric} at {row.edited:.4g}, below the goal.'
            if (self.info.higher_is_better)
            else f'dropping "{failed.gone[-1]}" as well would bring {self.metric} to {row.edited:.4g}, above the goal.'
        )


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
