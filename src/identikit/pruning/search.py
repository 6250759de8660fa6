"""The search: sets of layers of growing size, each measured exactly, until the budget is reached or no longer met."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from identikit.confidence.effect import drops
from identikit.errors import BudgetError
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.pruning.amounts import Amounts
from identikit.pruning.budgets import Budget
from identikit.pruning.reach import check_reachable, ended_early, too_strict
from identikit.pruning.space import Space
from identikit.pruning.step import Step
from identikit.results import MetricInfo, Row, Score

#: The rows of plans, by name and metric; all are measured in one reading of the data.
Measure = Callable[[Mapping[str, Plan], Bar], Mapping[str, dict[str, Row]]]


class Way(Protocol):
    """Which sets of layers are tried."""

    @property
    def space(self) -> Space: ...

    def larger(self, best: Sequence[Step]) -> list[Step]:
        """The sets of one layer more; `best`: those of the round before, the best first."""

    def order(self, tried: Sequence[Step], base: Step, cost: Callable[[Step], float]) -> list[Step]:
        """What was tried, the best first; `base`: the best of the round before, `cost`: how much worse each is."""

    def ends(self) -> list[tuple[str, ...]]:
        """The largest sets that it can come to."""

    def why(self, steps: Sequence[Step], names: Sequence[str]) -> list[str]:
        """Sentences on what went; `names`: the present names of what is gone at the last of `steps`."""


@dataclass(frozen=True)
class Search:
    """How a model is judged, by the first metric, and what is wanted."""

    way: Way
    metric: str
    info: MetricInfo
    budget: Budget
    measure: Measure
    amounts: Amounts
    #: What a set of layers scores once made up for, by the first metric; None where that is not asked for.
    made_up: Callable[[Plan], Score] | None = None

    def steps(self, bar: Bar) -> tuple[list[Step], int, str, list[Step]]:
        """The best model of each size, which one was chosen, why the search ended there, and the others of its size.

        The others, the next best first, reach the budget too. There are none where nothing is made up for, or where
        the budget is a floor or a speed.

        Raises BudgetError where the budget cannot be reached, naming the nearest that can.
        """
        self._check_reachable()
        steps = best = [Step(Plan())]
        while tried := self.way.larger(best):
            best = self._ranked(tried, best[0], bar)
            steps = [*steps, best[0]]
            if self.budget.floor and not self._holds(best[0]):
                if len(steps) == 2:
                    raise BudgetError(self._too_strict(best[0]))
                return steps, len(steps) - 2, self._why_not(steps[-2], best[0]), []
            reached = not self.budget.floor and self.budget.reached(self.amounts.of(best[0]))
            if reached and (settled := self.amounts.settled(steps)):
                return steps, *settled, self._reaching(best[1:])
        if not self.budget.floor:
            last = steps[-1]
            raise BudgetError(ended_early(self.budget, len(last.gone), self.amounts.of(last)))
        return steps, len(steps) - 1, "no further layer can go: each stack keeps one.", []

    def confirmed(self, steps: Sequence[Step], chosen: int, ended: str, where: str) -> tuple[int, str]:
        """The choice once more, by rows of examples that the search has not seen; `where`: which these are.

        The largest set up to the one chosen whose floor holds there too, and why it ended there. Raises BudgetError
        where it holds for none, naming the nearest that can be reached, and MetricError for a share of no score.
        """
        if not self.budget.floor:
            return chosen, ended
        at = next((number for number in range(chosen, 0, -1) if self._holds(steps[number], where)), 0)
        if at == 0:
            raise BudgetError(self._too_strict(max(steps[1 : chosen + 1], key=self._worth), where))
        if at == chosen:
            return chosen, ended
        return at, f"{where} {self._why_not(steps[at], steps[at + 1])}"

    def _reaching(self, steps: Sequence[Step]) -> list[Step]:
        if self.made_up is None or self.budget.speedup is not None:
            return []
        return [step for step in steps if self.budget.reached(self.amounts.of(step))]

    def _ranked(self, tried: list[Step], base: Step, bar: Bar) -> list[Step]:
        """The steps with their rows, the best first, by the way of searching; `base`: the best of the round before."""
        bar.say(f"{len(tried[0].gone) - 1} gone, {len(tried)} more tried")
        named = {step.name: step for step in tried}
        rows = self.measure({name: step.plan for name, step in named.items()}, bar)
        judged = [replace(step, rows=rows[name], tried=len(tried)) for name, step in named.items()]
        return self.way.order(judged, base, self._cost)

    def _cost(self, step: Step) -> float:
        """By how much its score is worse than the full model's; the full model has no rows."""
        return drops(self.info.full, self._edited(step), self.info.higher_is_better)

    def _edited(self, step: Step) -> float:
        return step.rows[self.metric].edited if step.rows else self.info.full

    def _holds(self, step: Step, where: str = "") -> bool:
        return self.reaches(self._judged(step), where)

    def reaches(self, score: Row | Score, where: str = "") -> bool:
        """Whether a score keeps the floor, at the worse end of its interval."""
        name = " ".join(filter(None, (self.metric, where)))
        return self.budget.holds(score.full, self._cautious(score), self.info.higher_is_better, name)

    def _judged(self, step: Step) -> Row | Score:
        """What decides about a step: its row; made up for, where that is asked for and the row does not do."""
        row = step.rows[self.metric]
        return row if self.made_up is None or self.reaches(row) else self.made_up(step.plan)

    def _worth(self, step: Step) -> float:
        """How good its score surely is; the larger, the better."""
        edited = self._cautious(self._judged(step))
        return edited if self.info.higher_is_better else -edited

    def _cautious(self, score: Row | Score) -> float:
        """The score at the worse end of its interval: a floor is kept as surely as the data can say."""
        end = score.low if self.info.higher_is_better else score.high
        return score.edited if end is None else score.full + end

    def _check_reachable(self) -> None:
        ends = self.way.ends()
        most = max((len(gone) for gone in ends), default=0)
        furthest = functools.partial(self.amounts.furthest, ends)
        full = functools.partial(self.amounts.of, Step(Plan()))
        check_reachable(self.budget, self.metric, self.info, most=most, full=full, furthest=furthest)

    def _too_strict(self, best: Step, where: str = "") -> str:
        row = self._judged(best)
        edited = self._cautious(row)
        read = " at the worse end of its interval" if edited != row.edited else ""
        read += f" {where}" if where else ""
        info = replace(self.info, full=row.full)
        return too_strict(self.budget, self.metric, info, edited, best.gone, self.way.space.plans, read)

    def _why_not(self, chosen: Step, failed: Step) -> str:
        row = self._judged(failed)
        higher, edited, end = self.info.higher_is_better, row.edited, self._cautious(row)
        surely = f" (at the worse end of its interval {end:.4g})" if f"{end:.4g}" != f"{edited:.4g}" else ""
        more = set(failed.gone) - set(chosen.gone)
        nested = len(more) == 1 and set(chosen.gone) < set(failed.gone)
        what = f'dropping "{more.pop()}" as well' if nested else f"the best set of {len(failed.gone)} layers"
        return (
            f"{what} would leave {self.metric} at {edited:.4g}{surely}, below the goal."
            if higher
            else f"{what} would bring {self.metric} to {edited:.4g}{surely}, above the goal."
        )
