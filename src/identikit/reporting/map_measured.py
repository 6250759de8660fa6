"""What was measured of sets of layers, for a map: by its edits, each set's scores, intervals and sizes as texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from identikit.plan import Edit
from identikit.reporting import curve, numbers, page, repeat
from identikit.results import Cost, Front, Header, Row, ScanResult, Score
from identikit.results.agreement import CHEAP

MOST_SETS = 5_000
Found = dict[tuple[Edit, ...], list[dict[str, Any]]]


def measured(scan: ScanResult | None, front: Front | None) -> tuple[Found, int]:
    """By the edits of each set what was measured of it, the curve's first; and how many sets were left out."""
    found: Found = {}
    for edits, said in _of_front(front) if front is not None else ():
        found.setdefault(edits, []).append(said)
    left_out = 0
    for edits, said in _of_scan(scan, front) if scan is not None else ():
        if edits not in found and len(found) >= MOST_SETS:
            left_out += 1
        elif not any(each["metric"] == said["metric"] and each["on"] == said["on"] for each in found.get(edits, [])):
            found.setdefault(edits, []).append(said)
    return found, left_out


def _of_front(front: Front) -> Iterator[tuple[tuple[Edit, ...], dict[str, Any]]]:
    on = curve.held_out(front) or _examples(front.header)
    for point in front.points:
        edits = repeat.plain_edits(point.places, point.plan)
        if not edits:
            continue
        for name, score in point.scores.items():
            said = _told(front.header, name, score, on)
            made_up = point.compensated.scores.get(name) if point.compensated is not None else None
            if made_up is not None:
                higher = front.header.metrics[name].higher_is_better
                said["also"] = f"{curve.form(front)}: {_score(made_up, made_up.cost(higher_is_better=higher))}"
            if name == front.metric:
                said |= {"left": point.parameters}
                said |= {} if point.latency is None else {"latency": f"{numbers.seconds(point.latency)} a pass"}
            yield edits, said


def _of_scan(scan: ScanResult, front: Front | None) -> Iterator[tuple[tuple[Edit, ...], dict[str, Any]]]:
    """Single layers first, then sets, the cheapest first."""
    rows = [(number, row) for name in scan.header.metrics for number, row in enumerate(scan.ranked(name))]
    searched = front is not None and front.chosen_on is not None
    for _, row in sorted(rows, key=lambda each: (len(each[1].places) > 1, each[0])):
        edits = repeat.plain_edits(row.places, row.plan)
        if not edits or row.metric in CHEAP:
            continue
        examples = numbers.plural(row.examples, "example")
        yield edits, _told(scan.header, row.metric, row, f"{examples} of the search" if searched else examples)


def _told(header: Header, name: str, score: Score | Row, on: str) -> dict[str, Any]:
    cost = score.cost(higher_is_better=header.metrics[name].higher_is_better)
    decimals = numbers.decimals_of([cost.value], [_half(cost)])
    sure = numbers.fixed(100 * header.metrics[name].confidence, 1).removesuffix(".0")
    bounds = [bound for bound in (cost.low, cost.high) if bound is not None]
    interval = " to ".join(numbers.fixed(bound, decimals, sign=True) for bound in bounds)
    return {
        "metric": numbers.clean(name),
        "score": _score(score, cost),
        "cost": numbers.fixed(cost.value, decimals, sign=True),
        "interval": f"{interval} ({sure} %)" if bounds else "",
        "on": on,
    }


def _score(score: Score | Row, cost: Cost) -> str:
    """0.954 ± 0.003."""
    half = _half(cost)
    decimals = numbers.decimals_of([score.edited], [half])
    return numbers.fixed(score.edited, decimals) + (f" ± {numbers.fixed(half, decimals)}" if half else "")


def _half(cost: Cost) -> float:
    """Half of the interval; 0 where there is none."""
    return 0.0 if cost.low is None or cost.high is None else (cost.high - cost.low) / 2


def metrics_of(scan: ScanResult | None, front: Front | None, costs: Sequence[dict[str, Cost]]) -> list[dict[str, Any]]:
    """The metrics that a map can speak of, the goal's first: what an estimate needs of each."""
    headers = [part.header for part in (front, scan) if part is not None]
    infos = {name: header.metrics[name] for header in headers for name in header.metrics}  # the scan wins
    names = dict.fromkeys(name for header in headers for name in header.metrics)
    found = []
    for name in names:
        alone = [each[name].value for each in costs if name in each]
        found.append(
            {
                "name": numbers.clean(name),
                "full": infos[name].full,
                "higher": infos[name].higher_is_better,
                "better": page.HIGHER[infos[name].higher_is_better],
                "cheap": name in CHEAP,
                "decimals": numbers.decimals_of(alone, []) if alone else 3,
            }
        )
    return found


def _examples(header: Header) -> str:
    return numbers.plural(header.data.examples, "example")
