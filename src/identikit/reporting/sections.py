"""The sections of a page on what layers cost: tables whose rows have drawn bars, and figures with their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from identikit.plan import Edit
from identikit.reporting import curve, drawing, numbers, page
from identikit.reporting.drawing import Dot, Frame
from identikit.results import Front, ScanResult, Score
from identikit.results.agreement import CHEAP, Agreement, mean_ranks

_MOST_ROWS = 2_000
_MOST_COMBINATIONS = 100
_VARIES = 0.4  # of the largest: below that a figure of what layers weigh is a column of dots


@dataclass(frozen=True)
class Figure:
    """A drawing, its words for those who do not see it, and what stands below it."""

    svg: str
    said: str
    below: str = ""


@dataclass(frozen=True)
class Line:
    """A row of the table with its drawn bars."""

    text: page.CostLine
    bar: str
    part: str
    time: str
    sets: str


@dataclass(frozen=True)
class Section:
    """One table of costs. `sorting`: whether its order can be chosen. `kind`: of all layers, where it is one.

    cheap: of a score that leaves no layer out.
    """

    id: str
    head: str
    table: page.CostTable
    lines: list[Line]
    shown: str
    sorting: bool
    kind: str
    kinds: bool
    cheap: bool
    figure: Figure | None = None


def sections(scan: ScanResult, sets: dict[tuple[Edit, ...], str], *, combinations: bool) -> list[Section]:
    """For each metric the single layers; then, where wanted, the cheapest combinations."""
    found = []
    for number, name in enumerate(scan.header.metrics):
        alone = [row for row in scan.ranked(name) if len(row.places) == 1]
        several = [row for row in scan.ranked(name) if len(row.places) != 1]
        if alone:
            head = "How much each layer does" if name in CHEAP else "What each layer’s absence costs"
            one = ScanResult(scan.header, alone[:_MOST_ROWS])
            cut = f"The {_MOST_ROWS:,} cheapest of {len(alone):,}." if len(alone) > _MOST_ROWS else ""
            found.append(_section(one, name, f"costs-{number}", head, cut, sets, single=True))
        if several and (combinations or not alone):
            more = ScanResult(scan.header, several[:_MOST_COMBINATIONS])
            cut = f", the {_MOST_COMBINATIONS} cheapest" if len(several) > _MOST_COMBINATIONS else ""
            found.append(_section(more, name, f"sets-{number}", f"Several layers at once{cut}", "", sets, single=False))
    return found


def _section(
    scan: ScanResult, name: str, key: str, head: str, cut: str, sets: dict[tuple[Edit, ...], str], *, single: bool
) -> Section:
    table = page.costs(scan, name)
    span = _span(table)
    most = [_most([getattr(line, key) for line in table.lines]) for key in ("weight", "slice")]
    lines = [
        Line(
            line,
            drawing.bar(line.value, line.low, line.high, span, _style(line)),
            _part(line.weight, most[0], "worth"),
            _part(line.slice, most[1], "worth time"),
            sets.get(line.edits or (), ""),
        )
        for line in (table.lines if single else sorted(table.lines, key=lambda line: line.value))
    ]
    figure = beside_worth(table) if single and name not in CHEAP else None
    head = f"{head}: {table.metric}" if len(scan.header.metrics) > 1 else head
    kinds = {line.kind for line in table.lines}
    kind = kinds.pop() if single and len(kinds) == 1 else ""
    sorting = single and len(lines) > 1
    return Section(key, head, table, lines, cut, sorting, kind, any(kinds), name in CHEAP, figure)


def _most(values: Sequence[float | None]) -> float:
    """The largest; 0 where they are as good as one: bars of one length say nothing."""
    known = [value for value in values if value is not None]
    return max(known) if known and min(known) < 0.9 * max(known) else 0.0


def _part(value: float | None, most: float, style: str) -> str:
    """A bar against the largest of its column: six layers of a sixth each are no six stumps."""
    return "" if value is None or not most else drawing.bar(value, None, None, (0.0, most), style)


def _style(line: page.CostLine) -> str:
    return "best" if line.cheapest else "tie" if line.tie else "cost"


def _span(table: page.CostTable) -> tuple[float, float]:
    """What drawn bars span: all but the giants, with their intervals."""
    inside = [line for line in table.lines if abs(line.value) <= table.reach]
    ends = [0.0, *(end for line in inside for end in (line.value, line.low, line.high) if end is not None)]
    if any(line.value < -table.reach for line in table.lines):
        ends.append(-table.reach)
    low, high = min(ends), max([*ends, table.reach if any(line.value > 0 for line in table.lines) else 0.0])
    return (low, high) if high > low else (low, low + 1.0)


def beside_worth(table: page.CostTable) -> Figure | None:
    """Cost against what a layer takes: time where it is known, else parameters; None where all are alike."""
    for key, what, unit in (("slice", "share of the time of a pass, %", 0.01), ("weight", "million parameters", 1e6)):
        lines = [line for line in table.lines if getattr(line, key) is not None and abs(line.value) <= table.reach]
        takes = [getattr(line, key) / unit for line in lines]
        if len(lines) < 3 or len(lines) < len(table.lines) // 2 or max(takes) - min(takes) < _VARIES * max(takes):
            continue
        dots = [
            Dot(x, line.value, line.low, line.high, None, None, f"dot {_style(line)}", f"{line.place}: {line.cost}")
            for line, x in zip(lines, takes, strict=True)
        ]
        frame = Frame.around(dots, what, f"cost of absence ({table.metric})", zero=True)
        said = f"Cost of each layer's absence by {table.metric} against what it takes ({what}). See the table."
        below = "Low and to the right: what takes much and is missed little. Rest the pointer on a dot for its name."
        return Figure(frame.svg(frame.dots(dots)), said, below)
    return None


def front_figure(front: Front) -> Figure | None:
    """The score against the layers dropped; the chosen model is marked, what was made up for has dots of its own."""
    name = front.metric
    dots, made_up = [], []
    for number, point in enumerate(front.points):
        score, extra = point.scores[name], point.compensated
        chosen = number == front.chosen
        dots.append(_dot(point.dropped, score, "dot best chosen" if chosen and extra is None else "dot cost"))
        if extra is not None:
            made_up.append(_dot(point.dropped, extra.scores[name], "dot best chosen" if chosen else "dot best"))
    frame = Frame.around([*dots, *made_up], "layers dropped", numbers.clean(name), whole=True)
    drawn = [*frame.line(dots), *frame.dots(dots)]
    for dot in made_up:
        drawn += frame.line([next(each for each in dots if each.x == dot.x), dot], "lift")
    drawn += frame.dots(made_up)
    marked = next(dot for dot in [*dots, *made_up] if "chosen" in dot.style)
    word = "chosen" + (f", {curve.form(front)}" if made_up and marked in made_up else "")
    anchor = "end" if marked.x > sum(frame.xs) / 2 else "start"
    top = min(float(frame.y(value)) for value in (marked.y, marked.high) if value is not None)
    drawn += [
        f'<circle class="ring" cx="{frame.x(marked.x)}" cy="{frame.y(marked.y)}" r="8"/>',
        drawing.words(frame.x(marked.x), top - 13, word, anchor, "mark"),
    ]
    return Figure(frame.svg(drawn), _said(front, made_up=bool(made_up)))


def _dot(dropped: int, score: Score, style: str) -> Dot:
    known = score.low is not None and score.high is not None
    low, high = (score.full + (bound or 0.0) if known else None for bound in (score.low, score.high))
    said = f"{dropped} dropped: {numbers.score(score.edited)}"
    return Dot(dropped, score.edited, low, high, style=style, said=said)


def _said(front: Front, *, made_up: bool) -> str:
    first, last = front.full.scores[front.metric], front.points[-1].scores[front.metric]
    chosen = front.choice.scores[front.metric]
    more = f" Green: {curve.form(front)}." if made_up else ""
    return (
        f"{numbers.clean(front.metric)} against layers dropped: {numbers.score(first.edited)} with none, "
        f"{numbers.score(last.edited)} with {front.points[-1].dropped}. Chosen: {front.choice.dropped} dropped, "
        f"{numbers.score(chosen.edited)}.{more} The table has the numbers."
    )


def agreement_figure(scan: ScanResult, found: Agreement) -> Figure:
    """The rank of each layer by the cheap score against its exact one: a line where they agree."""
    cheap = {row.places: scan.cost(row).value for row in scan.of(found.cheap)}
    exact = {row.places: scan.cost(row).value for row in scan.of(found.exact)}
    shared = [places for places in cheap if places in exact]
    ranks = [mean_ranks([values[places] for places in shared]) for values in (cheap, exact)]
    dots = [
        Dot(x, y, style="dot cost", said=numbers.grouped(places)) for places, x, y in zip(shared, *ranks, strict=True)
    ]
    names = [numbers.clean(name) for name in (found.cheap, found.exact)]
    frame = Frame.around(dots, f"rank by {names[0]} (1: missed least)", f"rank by {names[1]}", whole=True)
    ends = [Dot(1.0, 1.0), Dot(float(len(shared)), float(len(shared)))]
    drawn = [*frame.line(ends, "even"), *frame.dots(dots)]
    said = f"Rank of each layer by {names[0]} against its rank by {names[1]}. On the line both agree."
    return Figure(frame.svg(drawn), said, numbers.clean(f"{found}."))


def agreement_figures(scan: ScanResult) -> list[Figure]:
    """One for each cheap metric that can be compared."""
    found: Sequence[Agreement | None] = [scan.agreement(name) for name in scan.header.metrics if name in CHEAP]
    return [agreement_figure(scan, each) for each in found if each is not None]
