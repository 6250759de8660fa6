"""The curve of a prune as plain strings and numbers: what every painter of a front shows, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from identikit.reporting import numbers, page
from identikit.results import Front, Point, Score


@dataclass(frozen=True)
class PointLine:
    """One model on the curve of a prune."""

    dropped: int
    places: str
    kept: str
    score: str
    error: str
    parameters: str
    latency: str
    chosen: bool


@dataclass(frozen=True)
class Change:
    """One line of the comparison of the full and the chosen model."""

    what: str
    before: str
    after: str
    said: str


def points(front: Front) -> tuple[PointLine, ...]:
    """The points of a prune, the full model first."""
    name = front.metric
    scores = [point.scores[name] for point in front.points]
    errors = [0.0 if score.low is None or score.high is None else (score.high - score.low) / 2 for score in scores]
    decimals = numbers.decimals_of([score.edited for score in scores], errors)
    return tuple(
        PointLine(
            dropped=point.dropped,
            places=page.places_text(point.places, point.plan) or "nothing",
            kept="" if point.kept is None else numbers.percent(point.kept),
            score=numbers.fixed(score.edited, decimals),
            error=f"± {numbers.fixed(error, decimals)}" if error else "",
            parameters=numbers.count(point.parameters),
            latency="" if point.latency is None else numbers.seconds(point.latency),
            chosen=number == front.chosen,
        )
        for number, (point, score, error) in enumerate(zip(front.points, scores, errors, strict=True))
    )


def measured(front: Front) -> str:
    """What the scores are of: one line."""
    said = page.measured(front.header, front.metric)
    return f"{said}, held out: {chosen_by(front)}" if front.chosen_on is not None else said


def held_out(front: Front) -> str:
    """50 held-out examples; empty where nothing was held out."""
    return "" if front.chosen_on is None else numbers.plural(front.header.data.examples, "held-out example")


def chosen_by(front: Front) -> str:
    """Which examples the search saw, where these are not those that the scores are of; empty where they are."""
    return "" if front.chosen_on is None else f"the layers were chosen by {front.chosen_on.examples:,} others"


def changes(front: Front) -> tuple[Change, ...]:
    """The full and the chosen model side by side: scores, parameters, size, latency."""
    full, chosen = front.full, front.choice
    lines = [Change("layers dropped", "0", str(chosen.dropped), page.places_text(chosen.places, chosen.plan))]
    for name, score in chosen.scores.items():
        kept = f"{numbers.percent(chosen.kept)} kept" if name == front.metric and chosen.kept is not None else ""
        surely = _surely(front, score)
        decimals = max(numbers.decimals_of([value], []) for value in (score.full, score.edited)) + 1
        before, after = (numbers.fixed(value, min(decimals, 6)) for value in (score.full, score.edited))
        lines.append(Change(numbers.clean(name), before, after, ", ".join(filter(None, (kept, surely)))))
    lines.append(_size("parameters", full.parameters, chosen.parameters, numbers.count))
    if front.size_before is not None and front.size_after is not None:
        lines.append(_size("size on disk", front.size_before, front.size_after, numbers.size))
    if full.latency is not None and chosen.latency is not None:
        lines.append(_speed(full, chosen))
    return tuple(lines)


def _surely(front: Front, score: Score) -> str:
    """How sure a held-out score is, and of how many examples it is; empty where nothing was held out."""
    if front.chosen_on is None:
        return ""
    if score.low is None or score.high is None:
        return held_out(front)
    half = (score.high - score.low) / 2
    return f"± {numbers.fixed(half, numbers.decimals_of([score.edited], [half]))} on {held_out(front)}"


def _size(what: str, before: int, after: int, written: Callable[[float], str]) -> Change:
    return Change(what, written(before), written(after), numbers.change(before, after))


def _speed(full: Point, chosen: Point) -> Change:
    before, after = full.latency or 0.0, chosen.latency or 0.0
    ratio = before / after if after else 0.0
    said = f"{numbers.fixed(ratio, 2)} times as fast" if ratio else ""
    return Change("latency of a pass", numbers.seconds(before), numbers.seconds(after), said)
