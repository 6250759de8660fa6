"""The curve of a prune as plain strings and numbers: what every painter of a front shows, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from identikit.reporting import numbers, page
from identikit.results import Front, Point, Score
from identikit.results.compensated import FORMS


@dataclass(frozen=True)
class PointLine:
    """One model on the curve of a prune. `latency` is a median, `timed` has its interval too, `spread` is it.

    `made_up`: the score once the layers were made up for, with its error bar.
    """

    dropped: int
    places: str
    kept: str
    score: str
    error: str
    parameters: str
    latency: str
    timed: str
    spread: str
    memory: str
    made_up: str
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
    errors = [_half(score) for score in scores]
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
            timed=_timed(point),
            spread=_spread(point),
            memory="" if point.memory is None else numbers.size(point.memory),
            made_up="" if point.compensated is None else _barred(point.compensated.scores[name], decimals),
            chosen=number == front.chosen,
        )
        for number, (point, score, error) in enumerate(zip(front.points, scores, errors, strict=True))
    )


def _half(score: Score) -> float:
    """Half of the interval; 0 where there is none."""
    return 0.0 if score.low is None or score.high is None else (score.high - score.low) / 2


def _barred(score: Score, decimals: int) -> str:
    """0.964 ± 0.002."""
    half = _half(score)
    return numbers.fixed(score.edited, decimals) + (f" ± {numbers.fixed(half, decimals)}" if half else "")


def form(front: Front) -> str:
    """How layers were made up for, in a word ("folded"); empty where that was not asked for."""
    forms = [point.compensated.form for point in front.points if point.compensated is not None]
    return FORMS[forms[0]] if forms else ""


def _timed(point: Point) -> str:
    """21.1 ± 0.5 ms; only the latency where it has no interval, or is one of minutes."""
    if point.latency is None:
        return ""
    middle, _, unit = numbers.seconds(point.latency).partition(" ")
    size = {"s": 1.0, "ms": 1e-3, "us": 1e-6}.get(unit)
    if point.latency_low is None or point.latency_high is None or size is None:
        return numbers.seconds(point.latency)
    half = (point.latency_high - point.latency_low) / 2 / size
    return f"{middle} ± {numbers.fixed(half, len(middle.partition('.')[2]))} {unit}"


def _spread(point: Point) -> str:
    bounds = (point.latency_low, point.latency_high)
    return " to ".join(numbers.seconds(bound) for bound in bounds if bound is not None)


def measured(front: Front) -> str:
    """What the scores are of: one line."""
    said = page.measured(front.header, front.metric)
    return f"{said}, held out: {chosen_by(front)}" if front.chosen_on is not None else said


def error_bars(front: Front, *, timed: bool = True) -> str:
    """What the error bars are: of the scores, and where `timed` those of the latencies; empty where there are none."""
    bars = page.error_bars(front.header, front.metric)
    if not timed or all(point.latency_low is None for point in front.points):
        return bars
    return f"{bars} (latency: the median's at 95 %)" if bars else "± is half the median's 95 % interval"


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
    made_up = chosen.compensated
    for name, dropped in chosen.scores.items():
        score, share = (dropped, chosen.kept) if made_up is None else (made_up.scores[name], made_up.kept)
        kept = f"{numbers.percent(share)} kept" if name == front.metric and share is not None else ""
        surely = _surely(front, score)
        decimals = max(numbers.decimals_of([value], []) for value in (score.full, score.edited)) + 1
        before, after = (numbers.fixed(value, min(decimals, 6)) for value in (score.full, score.edited))
        lines.append(Change(numbers.clean(name), before, after, ", ".join(filter(None, (kept, surely)))))
        if made_up is not None and made_up.helps:
            lines.append(Change(f"{numbers.clean(name)}, not {form(front)}", before, _plain(dropped, decimals), ""))
    extra = 0 if made_up is None else made_up.parameters
    lines.append(_size("parameters", full.parameters, chosen.parameters + extra, numbers.count))
    if front.size_before is not None and front.size_after is not None:
        lines.append(_size("size on disk", front.size_before, front.size_after, numbers.size))
    if full.latency is not None and chosen.latency is not None:
        lines.append(_speed(full, chosen))
    if full.memory is not None and chosen.memory is not None:
        lines.append(_size("memory of a pass", full.memory, chosen.memory, numbers.size))
    return tuple(lines)


def _plain(score: Score, decimals: int) -> str:
    return numbers.fixed(score.edited, min(decimals, 6))


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
