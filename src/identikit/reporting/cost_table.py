"""The terminal's table of a scan: what each layer's absence costs and, as width allows, what the layer costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from identikit.reporting import glyphs, numbers, page, styles

_LEAST_BAR, _LONGEST_BAR = 6, 24
_HEADS = ("layer", "kind", "cost of its absence", "", "parameters", "time", "FLOPs", "memory")


@dataclass(frozen=True)
class _Cells:
    """The texts of one line; `time` is seconds and share, `share` the latter alone."""

    place: str
    kind: str
    cost: str
    parameters: str
    share: str
    time: str
    flops: str
    memory: str


@dataclass(frozen=True)
class _Layout:
    """How wide place, kind (0: left out) and bar may be, and which of the other costs fit."""

    place: int
    kind: int
    bar: int
    seconds: bool
    flops: bool
    memory: bool


def drawn(table: page.CostTable, width: int) -> list[RenderableType]:
    """The table in at most `width` columns, and below it what its signs mean."""
    if not table.lines:
        return [Text("no layer measured yet"), *_said([table.ties])]
    cells = _cells(table.lines)
    layout = _layout(cells, width)
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    timed, weighed = any(each.share or each.time for each in cells), any(each.parameters for each in cells)
    shown = (True, layout.kind > 0, True, True, True, True, layout.flops, layout.memory)
    for number, head in enumerate(_HEADS):
        if shown[number]:
            used = {4: weighed, 5: timed}.get(number, True)
            style = "dim" if number == 1 else ""
            grid.add_column(head if used else "", no_wrap=True, justify="right" if number > 3 else "left", style=style)
    for line, each in zip(table.lines, cells, strict=True):
        style = styles.BEST if line.cheapest else "dim" if line.tie else styles.USUAL
        name = f"bold {styles.BEST}" if line.cheapest else styles.USUAL
        texts = (
            Text(numbers.shorten(each.place, layout.place), style=name),
            Text(each.kind if len(each.kind) <= layout.kind else each.kind[: layout.kind - 1] + "…"),
            Text(each.cost, style=style),
            _bar(line, table.reach, layout.bar),
            *map(Text, (each.parameters, each.time if layout.seconds else each.share, each.flops, each.memory)),
        )
        grid.add_row(*(text for text, wanted in zip(texts, shown, strict=True) if wanted))
    return [grid, *_legend(table, layout)]


def _cells(lines: Sequence[page.CostLine]) -> list[_Cells]:
    """Each line's texts, those of one column aligned."""
    costs = numbers.aligned([line.cost for line in lines])
    errors = numbers.aligned([line.error.removeprefix("± ") for line in lines])
    parts = max((len(line.part) for line in lines), default=0)
    shares = max((len(line.time) for line in lines), default=0)
    cells = []
    for line, cost, error in zip(lines, costs, errors, strict=True):
        signs = " ".join(sign for sign, shown in (("≈", line.tie), ("◂", line.cheapest)) if shown)
        error = f"± {error}" if line.error else " " * len(f"± {error}")
        parameters = f"{line.parameters}  {line.part.rjust(parts)}" if parts else line.parameters
        time = f"{line.seconds}  {line.time.rjust(shares)}" if shares else line.seconds
        said = f"{cost} {error} {signs}".rstrip()
        cells.append(_Cells(line.place, line.kind, said, parameters, line.time, time, line.flops, line.memory))
    return cells


def _layout(cells: Sequence[_Cells], width: int) -> _Layout:
    """What fits: seconds come first, then the layer's class, then FLOPs and memory; the bar has what is left.

    Where even the least is too much, the bar gives way first, then the front of the layer's name.
    """

    def widest(name: str, head: str = "") -> int:
        longest = max(len(getattr(each, name)) for each in cells)
        return max(longest, len(head)) if longest else 0

    fixed = max(widest("cost"), len(_HEADS[2])) + widest("parameters", _HEADS[4]) + widest("share", _HEADS[5])
    free = width - fixed - 2 * 5
    place = min(max(widest("place"), len(_HEADS[0])), max(8, free - _LEAST_BAR))
    spare = free - place - _LEAST_BAR
    seconds = 0 < (more := widest("time") - widest("share", _HEADS[5])) <= spare
    spare -= more if seconds else 0
    full = widest("kind", _HEADS[1])
    kind = min(full, 18, spare - 2)
    kind = 0 if kind < min(full, 5) else kind
    spare -= kind + 2 if kind else 0
    chosen = {}
    for name, head in (("flops", _HEADS[6]), ("memory", _HEADS[7])):
        needed = widest(name, head) + 2
        chosen[name] = 2 < needed <= spare
        spare -= needed if chosen[name] else 0
    return _Layout(place, kind, max(3, min(_LONGEST_BAR, _LEAST_BAR + spare)), seconds, **chosen)


def _bar(line: page.CostLine, reach: float, width: int) -> Text:
    """As long as the cost; a pale one for a layer without which the model is better. One cut off ends in an arrow."""
    drawn = glyphs.bar(abs(line.value) / reach, width)
    if line.value < 0:
        drawn = "░" * max(1, len(drawn))
    if abs(line.value) > reach:
        drawn = drawn[:-1] + "→"
    if line.value < 0:
        return Text(drawn, style=styles.BEST)
    return Text(drawn, style=styles.BEST if line.cheapest else "dim" if line.tie else styles.USUAL)


def _legend(table: page.CostTable, layout: _Layout) -> list[Text]:
    said = []
    if any(line.cheapest for line in table.lines):
        said.append("◂ missed least")
    if any(line.tie for line in table.lines):
        said.append("≈ the interval includes zero: no difference shown")
    if any(line.value < 0 for line in table.lines):
        said.append("░ better without it")
    pass_ = []
    if layout.seconds:
        pass_.append("time: a pass over the first batch, the median of several, and its share of it")
    if layout.flops or layout.memory:
        names = [name for name, shown in (("FLOPs", layout.flops), ("memory (activations)", layout.memory)) if shown]
        pass_.append(f"{' and '.join(names)}: of that pass")
    return _said([table.bars, "   ".join(said), table.ties, *pass_])


def _said(lines: Sequence[str]) -> list[Text]:
    return [Text(), *(Text(line, style="dim") for line in lines if line)] if any(lines) else []
