"""From values by example to rows: the effect of each candidate, its error bar, its ties and its rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from identikit.confidence.effect import costs, effect
from identikit.confidence.race import Race
from identikit.confidence.ties import ties
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.results import MetricInfo, Row
from identikit.scanning.headers import metric_info

Paired = Mapping[str, tuple[Floats, Floats]]  # by candidate: the full and the edited model's rows, of the same examples


def exact_rows(
    metric: Metric, rows: Paired, plans: Mapping[str, Plan], *, engine: str, seconds: float, confidence: float,
    seed: int, race: Race | None, ranked: Race | None,
) -> list[Row]:  # fmt: skip
    """A row of `metric` for each candidate. `race`: what stopped some early; `ranked`: where it was by this metric."""
    tied = _ties(metric, rows, confidence=confidence, seed=seed, race=race)
    ranks = _ranks(ranked, metric, rows) if ranked else {}
    made = []
    for name, (full, edited) in rows.items():
        level = race.level(name) if race else confidence
        found = effect(metric, full, edited, confidence=level, seed=seed)
        numbers = (found.full, found.edited, found.effect, found.low, found.high, len(full), engine, seconds)
        others = tuple(" + ".join(plans[other].places) for other in tied.get(name, ()))
        said = (plan_json(plans[name]), found.error, others, ranks.get(name))
        made.append(Row(plans[name].places, metric.name, *numbers, *said))
    return made


def cheap_rows(
    name: str, values: Mapping[str, Floats], plans: Mapping[str, Plan], *, confidence: float, seed: int
) -> tuple[MetricInfo, list[Row]]:
    """A cheap score, [examples] by candidate, as a metric that is 0 for the full model, with its rows."""
    metric, made = CheapScore(name), []
    for candidate, scores in values.items():
        found = effect(metric, scores * 0.0, scores, confidence=confidence, seed=seed)
        numbers = (found.full, found.edited, found.effect, found.low, found.high, len(scores), name, 0.0)
        made.append(Row(plans[candidate].places, name, *numbers, plan_json(plans[candidate]), found.error))
    first = next(iter(values.values()))
    return metric_info(metric, first * 0.0, confidence), made


def plan_json(plan: Plan) -> dict[str, Any] | None:
    """A plan in JSON, where it is not plain identity edits."""
    return None if all(edit.op == "identity" and not edit.options for edit in plan) else plan.to_json()


class CheapScore(Metric):
    """A score that is worked out for each example without leaving the layer out; higher: the layer is missed more."""

    higher_is_better = False

    def __init__(self, name: str) -> None:
        self.name = name

    def values(self, output: Any, batch: Any, reference: Any) -> Any:
        """Never asked: the scores are there already."""
        raise NotImplementedError(f"{self.name} is worked out for all layers at once")


def _ties(
    metric: Metric, rows: Paired, *, confidence: float, seed: int, race: Race | None
) -> Mapping[str, tuple[str, ...]]:
    """The candidates not told apart; none said where scores of a whole set are each over other examples."""
    if race and any(metric.column(full) is None for full, _ in rows.values()):
        return {}
    return ties(metric, rows, confidence=confidence, looks=race.looks if race else 1, seed=seed)


def _ranks(race: Race, metric: Metric, rows: Paired) -> dict[str, int]:
    """Each candidate's place in the race's order, from 1."""
    order = race.order({name: costs(metric, full, edited) for name, (full, edited) in rows.items()})
    return {name: place for place, name in enumerate(order, start=1)}
