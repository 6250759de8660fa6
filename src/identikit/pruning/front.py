"""The curve of a prune as a result: the trail of the search, each point with its scores, its size and its latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from identikit.confidence.effect import keeps
from identikit.costing.latency import interval, median
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.pruning.search import Search
from identikit.pruning.step import Step
from identikit.pruning.times import pass_times
from identikit.results import Front, Header, Point, Row, Score
from identikit.results.compensated import Compensated
from identikit.surgery.carried import carried, first_paths

_WEIGHTS_ALONE = "The memory is that of the weights: what a pass holds beside them could not be counted."


@dataclass(frozen=True)
class Trail:
    """Where a search went: the best model of each size, the full one first; which was taken, and why it ended there.

    `others`: more of the size of the one taken. `why`: why its layers went, where the way of searching does not say.
    `held`: the same models judged on the held-out examples, with the header of that reading; None: there are none.
    """

    search: Search
    steps: Sequence[Step]
    chosen: int
    ended: str
    others: Sequence[Step] = ()
    held: tuple[Header, Sequence[Step]] | None = None
    why: tuple[str, ...] = ()


def bound(plan: Plan, anatomy: Anatomy, header: Header) -> Plan:
    """The plan with the hash of the weights that it was chosen on, where these are the ones first loaded."""
    first_loaded = carried(anatomy.model) is None
    return plan.bound(plan.fingerprint, header.weights if first_loaded else "", plan.model)


def front_of(
    anatomy: Anatomy, header: Header, trail: Trail, said: Sequence[str], made_up: Mapping[tuple[str, ...], Compensated]
) -> Front:
    """The front of the trail, with the latency and memory of each point measured now.

    `said`: more sentences. `made_up`: what making up for sets of layers (their places) came to.
    """
    search, steps, chosen = trail.search, trail.steps, trail.chosen
    times = search.amounts.timed or pass_times(anatomy, [step.plan for step in steps])
    needs = [search.amounts.memory(step) for step in steps]
    points = [
        _point(anatomy, header, trail, number, seconds, memory)
        for number, (seconds, (memory, _)) in enumerate(zip(times, needs, strict=True))
    ]
    weights = () if all(known for _, known in needs) else (_WEIGHTS_ALONE,)
    names = first_paths(anatomy.model, list(steps[chosen].gone))
    why = trail.why or search.way.why(steps[: chosen + 1], names)
    goal = search.budget.words(search.metric, search.info.higher_is_better)
    sentences = (*why, f"It stopped there because {trail.ended}", *weights, *said)
    chosen_on = header.data if trail.held is not None else None
    points = [replace(point, compensated=_kept(made_up.get(point.places), search)) for point in points]
    if trail.held is not None:
        header = replace(header, data=trail.held[0].data, metrics=trail.held[0].metrics)
    return Front(header, tuple(points), chosen, goal, sentences, chosen_on=chosen_on)


def _point(
    anatomy: Anatomy, header: Header, trail: Trail, number: int, seconds: Sequence[float], memory: int
) -> Point:  # fmt: skip
    step, search = trail.steps[number], trail.search
    scores, selection = _scores(header, step.rows), dict[str, Score]()
    if trail.held is not None:
        selection, scores = scores, _scores(trail.held[0], trail.held[1][number].rows)
    first, higher = scores[search.metric], search.info.higher_is_better
    kept = keeps(first.full, first.edited, higher, name=search.metric) if first.full > 0 else None
    low, high = interval(seconds)
    return Point(
        places=step.plan.places,
        scores=scores,
        parameters=search.way.space.parameters_left(step.gone),
        kept=kept,
        latency=median(seconds),
        plan=_written(step.plan, anatomy, header),
        selection=selection,
        latency_low=low,
        latency_high=high,
        memory=memory,
    )


def _kept(done: Compensated | None, search: Search) -> Compensated | None:
    """What was made up for, with the share of the full score that it keeps."""
    first = None if done is None else done.scores[search.metric]
    if done is None or first is None or first.full <= 0:
        return done
    return replace(done, kept=keeps(first.full, first.edited, search.info.higher_is_better, name=search.metric))


def _scores(header: Header, rows: Mapping[str, Row]) -> dict[str, Score]:
    """A score of each metric; without rows it is the full model's."""
    found = {name: Score(info.full, info.full, 0.0) for name, info in header.metrics.items()}
    for name, row in rows.items():
        found[name] = Score(row.full, row.edited, row.effect, row.low, row.high)
    return found


def _written(plan: Plan, anatomy: Anatomy, header: Header) -> dict[str, Any] | None:
    """The plan in JSON, where it is not plain identity edits."""
    plain = all(edit.op == "identity" and not edit.options for edit in plan)
    return None if plain else bound(plan, anatomy, header).to_json()


def judged(steps: Sequence[Step], rows: Mapping[str, dict[str, Row]]) -> list[Step]:
    """The steps with other rows, those of their plans by name; the full model has none."""
    return [replace(step, rows=rows.get(step.name, {})) for step in steps]
