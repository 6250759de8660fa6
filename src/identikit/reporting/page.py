"""Results as plain strings and numbers: what every painter shows, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from identikit.places import natural_key
from identikit.plan import Edit
from identikit.reporting import numbers, repeat
from identikit.results import Cost, Header, Row, ScanResult, SiteInfo
from identikit.results.agreement import CHEAP
from identikit.results.header import together
from identikit.results.ties import tied

_OUTLIER = 10.0  # times the usual cost
HIGHER = {True: "higher is better", False: "lower is better"}


@dataclass(frozen=True)
class CostLine:
    """One layer: what its absence costs (positive is worse), and what it weighs. Texts for people, numbers for bars."""

    place: str
    kind: str
    cost: str
    error: str
    interval: str
    parameters: str
    part: str
    time: str
    value: float
    low: float | None
    high: float | None
    cheapest: bool
    tie: bool
    seconds: str = ""
    spread: str = ""
    flops: str = ""
    memory: str = ""
    weight: float | None = None  # the parameters
    slice: float | None = None  # the share of the time, 0 to 1
    edits: tuple[Edit, ...] | None = None  # what was done, where lines on a page can say it
    row: Any = None  # the key of the row that it shows


@dataclass(frozen=True)
class CostTable:
    """The lines of one metric in order of depth; what was measured, and what its error bars are.

    `reach` is the cost at which drawn bars end: one layer that costs a hundred times the usual is cut off there, so
    that the others can be told apart. `ties` says which layers the data does not tell apart; empty where it does.
    """

    metric: str
    said: str
    bars: str
    reach: float
    lines: tuple[CostLine, ...]
    ties: str = ""


def costs(result: ScanResult, metric: str | None = None) -> CostTable:
    """The costs by one metric; the scan's first where none is named."""
    name = metric or result.metric
    rows = sorted(result.of(name), key=_by_depth(result.header))
    found = [result.cost(row) for row in rows]
    cheapest = min((cost.value for cost in found), default=0.0)
    decimals = numbers.decimals_of([cost.value for cost in found], [_half(cost) for cost in found])
    first = next((number for number, cost in enumerate(found) if cost.value == cheapest), None)
    lines = [
        _line(result.header, row, cost, decimals, cheapest=number == first and len(rows) > 1)
        for number, (row, cost) in enumerate(zip(rows, found, strict=True))
    ]
    return CostTable(
        metric=numbers.clean(name),
        said=measured(result.header, name, rows),
        bars=error_bars(result.header, name),
        reach=_reach(found),
        lines=tuple(lines),
        ties=_ties(result.ranked(name)),
    )


def measured(header: Header, metric: str, rows: Sequence[Row] = ()) -> str:
    """What was measured on what: one line."""
    info = header.metrics[metric]
    seen = {row.examples for row in rows} or {header.data.examples}
    examples = numbers.plural(max(seen), "example")
    if len(seen) > 1:  # a race gave some layers fewer
        examples = f"{min(seen):,} to {examples}"
    full = f"{numbers.score(info.full)} for the full model ({HIGHER[info.higher_is_better]})"
    about = "of each layer, without leaving it out (higher is missed more)" if metric in CHEAP else full
    return f"{numbers.clean(metric)} {about}, {examples} of {numbers.clean(header.data.name or 'the data')}"


def error_bars(header: Header, metric: str) -> str:
    """What the error bars are; empty where there are none."""
    info = header.metrics[metric]
    confidence = numbers.fixed(100 * info.confidence, 1).removesuffix(".0")
    ways = {"paired": "of the paired differences", "bootstrap": "by bootstrap"}
    return f"± is half the {confidence} % interval {ways[info.interval]}" if info.interval in ways else ""


def model_line(header: Header) -> str:
    """The model's name, class and size."""
    name, kind = numbers.clean(header.name), numbers.clean(header.model)
    shown = f"{name} ({kind})" if name and name != kind else kind
    return f"{shown}, {numbers.count(header.total_parameters)} parameters" if header.total_parameters else shown


def _line(header: Header, row: Row, cost: Cost, decimals: int, *, cheapest: bool) -> CostLine:
    sites = [header.sites[place] for place in row.places if place in header.sites]
    decimals = numbers.decimals_here(cost.value, _half(cost), decimals)
    known = bool(sites) and len(sites) == len(row.places)
    weight = together(sites) if known else SiteInfo("")
    bounds = None if cost.low is None or cost.high is None else (cost.low, cost.high)
    total = header.total_parameters
    return CostLine(
        place=places_text(row.places, row.plan),
        kind=numbers.clean(together(sites).kind),
        cost=numbers.fixed(cost.value, decimals, sign=True),
        error=f"± {numbers.fixed(_half(cost), decimals)}" if bounds else "",
        interval=" to ".join(numbers.fixed(bound, decimals, sign=True) for bound in bounds) if bounds else "",
        parameters=numbers.count(weight.parameters) if known else "",
        part=numbers.percent(weight.parameters / total) if known and total else "",
        time="" if weight.share is None else numbers.percent(weight.share),
        value=cost.value,
        low=cost.low,
        high=cost.high,
        cheapest=cheapest,
        tie=bool(cost.tie),
        seconds="" if weight.seconds is None else numbers.seconds(weight.seconds),
        spread=_spread(weight),
        flops="" if weight.flops is None else numbers.count(weight.flops),
        memory="" if weight.memory is None else numbers.size(weight.memory),
        weight=weight.parameters if known else None,
        slice=weight.share,
        edits=repeat.plain_edits(row.places, row.plan),
        row=row.key,
    )


def _spread(weight: SiteInfo) -> str:
    bounds = (weight.seconds_low, weight.seconds_high)
    return " to ".join(numbers.seconds(bound) for bound in bounds if bound is not None)


def places_text(places: Sequence[str], plan: dict[str, Any] | None) -> str:
    """The places, and what was done there where it is not the plain identity."""
    return numbers.grouped(places) + _done(plan)


def _done(plan: dict[str, Any] | None) -> str:
    """` (zero)`: what was done, where it is not the plain identity."""
    edits = plan.get("edits") if plan else None
    ops = sorted({str(edit["op"]) for edit in edits}) if isinstance(edits, list) else []
    return f" ({', '.join(ops)})" if ops and ops != ["identity"] else ""


def _ties(ranked: Sequence[Row]) -> str:
    """Which rows are not told apart; the cheapest groups first."""
    groups = []
    for rows in tied(ranked):
        done = {_done(row.plan) for row in rows}
        alike = len(done) == 1 and all(len(row.places) == 1 for row in rows)
        places = [place for row in rows for place in row.places]
        named = (places_text(row.places, row.plan) for row in rows)
        groups.append(numbers.grouped(places) + min(done) if alike else ", ".join(named))
    return f"not told apart: {'; '.join(groups)}" if groups else ""


def _reach(found: Sequence[Cost]) -> float:
    sizes = sorted(abs(cost.value) for cost in found)
    usual = sizes[len(sizes) // 2] if sizes else 0.0
    return max((size for size in sizes if size <= _OUTLIER * usual), default=0.0) or max(sizes, default=0.0) or 1.0


def _half(cost: Cost) -> float:
    return 0.0 if cost.low is None or cost.high is None else (cost.high - cost.low) / 2


def _by_depth(header: Header) -> Callable[[Row], Any]:
    """Order of a forward pass where the header lists the sites, natural order of the paths elsewhere; singles first."""
    depth = {path: number for number, path in enumerate(header.sites)}

    def key(row: Row) -> tuple[object, ...]:
        where = [(depth.get(place, len(depth)), natural_key(place)) for place in row.places]
        return len(row.places), where, row.key[1]

    return key
