"""A set of dropped layers made up for: the model, and what it scores on examples that no fit has seen."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from identikit.compensating.compensate import check_form, compensated
from identikit.compensating.gaps import Gap, gaps_of
from identikit.compensating.statistics import Statistics, batch_norms, moved, seen
from identikit.confidence.effect import Effect, effect
from identikit.errors import BudgetError, DataError
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric
from identikit.plan import Plan
from identikit.pruning.budgets import Budget
from identikit.pruning.heldout import SHARE, Parts, split
from identikit.results import Score
from identikit.results.compensated import Compensated
from identikit.scanning.prepare import Candidates
from identikit.scanning.side_by_side import FULL, side_by_side
from identikit.sources.readings import Data
from identikit.surgery.choose import check_plan
from identikit.surgery.remove import remove

_DROPPED, _MOVED = "dropped", " + statistics"


@dataclass(frozen=True)
class MadeUp:
    """The model to ship, its plan (first paths), what was done, and what it is worth (larger is better)."""

    model: nn.Module
    plan: Plan
    done: Compensated
    worth: float


@dataclass
class MakingUp:
    """Makes up for sets of layers in one form; what each came to is kept, and of the models the last.

    The search's examples are split once more: three quarters are fitted to, the rest decide what is kept. The scores
    are those of the held-out examples, or where nothing is held out of the deciding ones.
    """

    anatomy: Anatomy
    metrics: tuple[Metric, ...]
    form: str
    learnt: Data
    deciding: Data
    judging: Data
    seed: int
    confidence: float
    known: dict[tuple[str, ...], Compensated] = field(default_factory=dict)
    _last: MadeUp | None = None
    _full: Statistics | None = None

    def of(self, plan: Plan) -> MadeUp:
        """`plan`'s layers dropped and made up for."""
        if self._last is None or self._last.plan.places != plan.places:
            self._last = self._made(plan)
            self.known[plan.places] = self._last.done
        return self._last

    def done(self, plan: Plan) -> Compensated:
        """What making up for `plan`'s layers came to."""
        return self.known.get(plan.places) or self.of(plan).done

    def best_of(self, plans: Sequence[Plan]) -> int:
        """The number of the set that is worth most once made up for, by examples that decide; of equals the first.

        Of the models that one is kept.
        """
        first, *others = plans
        number, best = 0, self.of(first)
        for at, plan in enumerate(others, start=1):
            made = self.of(plan)
            if made.worth > best.worth:
                number, best = at, made
        self._last = best
        return number

    def gaps(self, plan: Plan) -> list[Gap]:
        """The gaps that dropping `plan`'s layers leaves."""
        return gaps_of(self.anatomy, check_plan(self.anatomy, plan))

    def leave(self, plan: Plan) -> None:
        """Let `plan`'s layers be dropped and no more, whatever making up for them came to."""
        self.known[plan.places] = replace(_left(self.done(plan)), scores=self._scores(self._dropped(plan)))

    def _dropped(self, plan: Plan) -> nn.Module:
        anatomy = self.anatomy
        return remove(copy.deepcopy(anatomy.model), plan, inputs=anatomy.batch, family=anatomy.family)

    def _made(self, plan: Plan) -> MadeUp:
        anatomy, dropped = self.anatomy, self._dropped(plan)
        filled, own, done = compensated(anatomy, plan, self.learnt, self.deciding, self.form, self._worth)
        models = {_DROPPED: dropped, self.form: filled}
        if batch_norms(filled):
            models |= {name + _MOVED: self._moved(model) for name, model in models.items()}
        worths = self._worths(models)
        best = max(worths, key=lambda name: worths[name])  # of equals the first
        kept = best.startswith(self.form)
        done, scores = done if kept else _left(done), self._scores(models[best])
        done = replace(done, helps=best != _DROPPED, statistics=best.endswith(_MOVED), scores=scores)
        return MadeUp(models[best], own if kept else plan, done, worths[best])

    def _moved(self, model: nn.Module) -> nn.Module:
        """A copy whose batch norms' running statistics are moved by what the removal changed."""
        if self._full is None:
            self._full = seen(self.anatomy, self.anatomy.model, self.learnt)
        copied = copy.deepcopy(model)
        moved(copied, self._full, seen(self.anatomy, copied, self.learnt))
        return copied

    def _worth(self, model: nn.Module) -> float:
        return self._worths({self.form: model})[self.form]

    def _worths(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """The first metric of each on the deciding examples, turned so that larger is better."""
        first = self.metrics[0]
        rows = side_by_side(self.anatomy, models, self.deciding, [first], seed=self.seed)
        scores = {name: first.aggregate(rows[name][first.name]) for name in models}
        return {name: score if first.higher_is_better else -score for name, score in scores.items()}

    def _scores(self, model: nn.Module) -> dict[str, Score]:
        rows = side_by_side(self.anatomy, {self.form: model}, self.judging, self.metrics, seed=self.seed)
        found: dict[str, Effect] = {}
        for metric in self.metrics:
            pair = (rows[FULL][metric.name], rows[self.form][metric.name])
            found[metric.name] = effect(metric, *pair, confidence=self.confidence, seed=self.seed)
        return {name: Score(each.full, each.edited, each.effect, each.low, each.high) for name, each in found.items()}


def _left(done: Compensated) -> Compensated:
    """The record where nothing of it is kept."""
    gaps = tuple(replace(gap, why=gap.why or "it does not help on other examples") for gap in done.gaps)
    return replace(done, gaps=gaps, helps=False, statistics=False, parameters=0)


def making_up(found: Candidates, parts: Parts, form: str, *, seed: int, confidence: float) -> MakingUp:
    """Ready to make up for the candidates by the data of `parts`.

    Raises RoleError for a candidate that is no whole block, DataError where there are too few examples to judge.
    """
    anatomy = found.ledger.anatomy
    for plan in found.plans.values():
        gaps_of(anatomy, check_plan(anatomy, plan))
    inner = split(parts.search, SHARE, seed)
    if inner.search is None or inner.held is None:
        raise DataError(f"compensate={form!r} is fitted to data, and judged on other data: {_few(parts)}")
    judging = parts.held or inner.held
    return MakingUp(anatomy, found.metrics, form, inner.search, inner.held, judging, seed, confidence)


def check_compensate(form: str | None, budget: Budget, *, as_: str | None, scored: bool) -> None:
    """Raise BudgetError for what compensating does not go with, PlanError for no form of it."""
    check_form(form)
    if form is None:
        return
    if scored:
        raise BudgetError(f"--compensate {form} is judged by a metric over examples; --score has none. Give --metric.")
    if as_ not in (None, "identity"):
        raise BudgetError(f"--compensate {form} makes up for layers that are dropped; --as {as_} replaces them.")
    counted = [name for name in ("params", "flops", "speedup", "memory") if getattr(budget, name) is not None]
    if form == "adapter" and counted:
        raise BudgetError(
            f"--compensate adapter puts in parameters and time that --{counted[0]} does not count. "
            "Use --compensate fold, or --drop, --keep or --max-drop."
        )


def _few(parts: Parts) -> str:
    count = 0 if parts.search is None else parts.search.examples
    return f"{count} example{'' if count == 1 else 's'} are too few for both. Give more, or leave compensate out."
