"""Tables for the terminal: what a scan found, what can be edited, the curve of a prune. Returned, never printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from identikit.reporting import cost_table, curve, glyphs, numbers, page, styles
from identikit.reporting.agreements import agreements
from identikit.reporting.grids import SiteLike
from identikit.results import Front, ScanResult
from identikit.results.compensated import FORMS

_WIDEST = 110  # wider tables are harder to read across
_REPR_WIDTH = 100


@dataclass(frozen=True)
class Fitted:
    """Something to print that is laid out for the width, and the signs, of the terminal that prints it."""

    build: Callable[[int], Group]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST) - (2 if options.ascii_only else 0)  # "±" becomes two signs
        for segment in console.render(self.build(width), options.update(width=width)):
            text = glyphs.plain(segment.text) if options.ascii_only else segment.text
            yield Segment(text, segment.style, segment.control)


def scan_table(result: ScanResult, metric: str | None = None) -> Fitted:
    """What each layer's absence costs, in order of depth; a table for each metric where none is named."""
    names = list(result.header.metrics) if metric is None else [metric]
    tables = [page.costs(result, name) for name in names]

    def build(width: int) -> Group:
        parts: list[RenderableType] = [Text(page.model_line(result.header), style="bold", overflow="fold")]
        for table in tables:
            parts += [Text(table.said, style="dim"), Text(), *cost_table.drawn(table, width), Text()]
        said = [*agreements(result), *(f"note: {numbers.clean(note)}" for note in result.header.notes)]
        parts += [Text(line, style="dim") for line in said]
        return Group(*parts if said else parts[:-1])

    return Fitted(build)


def sites_table(sites: Iterable[SiteLike]) -> Fitted:
    """What can be edited, and why the rest cannot."""
    found = list(sites)

    def build(width: int) -> Group:
        drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        longest = max((len(site.path) for site in found), default=0)
        for name in ("layer", "kind", "role"):
            drawn.add_column(name, no_wrap=True)
        drawn.add_column("parameters", justify="right", no_wrap=True)
        drawn.add_column("verdict", overflow="fold")
        for site in found:
            ok = site.verdict == "ok"
            path = Text(numbers.shorten(numbers.clean(site.path), min(longest, max(16, width - 50))))
            kind = numbers.clean(site.kind)
            kind = kind if len(kind) <= 20 else kind[:19] + "…"
            verdict = Text(numbers.clean(site.verdict), style=styles.BEST if ok else styles.BEWARE)
            drawn.add_row(path, Text(kind, style="dim"), Text(site.role), Text(numbers.count(site.parameters)), verdict)
        ready = sum(site.verdict == "ok" for site in found)
        said = f"{numbers.plural(len(found), 'site')}, {ready:,} of them ready to be edited"
        return Group(drawn, Text(), Text(said, style="dim")) if found else Group(Text("no sites"))

    return Fitted(build)


def front_table(front: Front) -> Fitted:
    """The curve of a prune: what was dropped, what was kept of the score, parameters and latency."""
    lines = curve.points(front)

    def build(width: int) -> Group:
        columns = _columns(front, lines, width)
        timed = any("±" in cell for cell in columns.get("latency", ()))
        goal = [Text(f"goal: {numbers.clean(front.goal)}", style="bold")] if front.goal else []
        said = [Text(numbers.clean(sentence)) for sentence in front.said]
        legend = Text("   ".join(["◂ chosen", *filter(None, [curve.error_bars(front, timed=timed)])]), style="dim")
        of = f"on {curve.held_out(front)}: {curve.chosen_by(front)}"
        held = [Text(of, style="dim")] if front.chosen_on is not None else []
        return Group(*goal, _curve(columns, width), Text(), legend, *held, *said)

    return Fitted(build)


def _curve(columns: dict[str, list[str]], width: int) -> Table:
    others = _width_of({head: cells for head, cells in columns.items() if head != "layers"})
    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for head in columns:
        right = head in ("dropped", "kept", "parameters", "latency", "memory", *FORMS.values())
        drawn.add_column(Text(head), justify="right" if right else "left", no_wrap=head != "layers", overflow="fold")
    for row in zip(*columns.values(), strict=True):
        texts = [numbers.fitted(cell, max(12, width - others)) for cell in row]
        drawn.add_row(*map(Text, texts), style=f"bold {styles.BEST}" if row[-1] == "◂" else styles.USUAL)
    return drawn


def _columns(front: Front, lines: Sequence[curve.PointLine], width: int) -> dict[str, list[str]]:
    """The cells by head; the memory, and the interval of the latency, where all of it fits."""
    scores = numbers.aligned([line.score for line in lines])
    columns = {
        "dropped": [f"{line.dropped}" for line in lines],
        "layers": [line.places for line in lines],
        "kept": [line.kept for line in lines],
        numbers.clean(front.metric)[:20]: [
            f"{score} {line.error}".rstrip() for score, line in zip(scores, lines, strict=True)
        ],
        curve.form(front) or "made up": [line.made_up for line in lines],
        "parameters": [line.parameters for line in lines],
        "latency": [line.latency for line in lines],
        "memory": [line.memory for line in lines],
        "": ["◂" if line.chosen else "" for line in lines],
    }
    columns = {head: cells for head, cells in columns.items() if any(cells)}
    timed = {**columns, "latency": [line.timed for line in lines]} if "latency" in columns else columns
    without = {head: cells for head, cells in columns.items() if head != "memory"}
    return next((found for found in (timed, columns) if _width_of(found) <= width), without)


def _width_of(columns: dict[str, list[str]]) -> int:
    return sum(max(len(head), *map(len, cells)) + 2 for head, cells in columns.items())


def summary_table(front: Front) -> Fitted:
    """The full and the chosen model side by side: scores, parameters, size on disk, latency."""

    def build(width: int) -> Group:
        drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        drawn.add_column("", no_wrap=True)
        drawn.add_column("before", justify="right", no_wrap=True)
        drawn.add_column("after", justify="right", no_wrap=True, style="bold")
        drawn.add_column("", overflow="fold", style="green")
        for line in curve.changes(front):
            drawn.add_row(*(Text(cell) for cell in (line.what, line.before, line.after, line.said)))
        return Group(drawn)

    return Fitted(build)


def scan_repr(result: ScanResult) -> str:
    """The table as text without colour."""
    return as_text(scan_table(result), _REPR_WIDTH)


def front_repr(front: Front) -> str:
    """The table as text without colour."""
    return as_text(front_table(front), _REPR_WIDTH)


def as_text(what: RenderableType, width: int) -> str:
    """What a terminal of `width` columns without colour would show; lines end where their text does."""
    file = StringIO()
    Console(file=file, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(what)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())
