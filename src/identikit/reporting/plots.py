"""Figures of results, drawn with matplotlib's objects alone: no global state, no window."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from identikit.errors import needs_extra
from identikit.reporting import curve, numbers, page
from identikit.results import Front, ScanResult, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stand for a meaning. In a page they become CSS variables, so that a dark page has its own.
INK, FAINT, BAR, BEST, TIE, PAPER = "#24292f", "#8c959f", "#3b6fb6", "#2f8f5b", "#a9b8cc", "#fefefe"
MEANINGS = {PAPER: "paper", INK: "ink", FAINT: "faint", BAR: "bar", BEST: "best", TIE: "tie"}
_WIDTH = 4.8  # inches: readable at the width of a phone as well
_MOST_BARS = 160


def plot_costs(result: ScanResult, metric: str | None = None) -> Figure:
    """What each layer's absence costs, one bar a layer in order of depth, with its interval.

    A scan of more than 160 rows shows the cheapest 160. Raises MissingExtraError without matplotlib.
    """
    table = page.costs(result, metric)
    lines = list(table.lines)
    if len(lines) > _MOST_BARS:
        kept = sorted(lines, key=lambda line: line.value)[:_MOST_BARS]
        lines = [line for line in lines if line in kept]
    figure, axes = _figure(height=0.85 + 0.25 * len(lines))
    where = range(len(lines))
    colours = [BEST if line.cheapest else TIE if line.tie else BAR for line in lines]
    axes.barh(where, [line.value for line in lines], height=0.66, color=colours)
    for number, line in enumerate(lines):
        if line.low is not None and line.high is not None:
            axes.plot([line.low, line.high], [number, number], color=INK, linewidth=1.4, solid_capstyle="butt")
    _cut(axes, lines, table.reach)
    axes.axvline(0.0, color=FAINT, linewidth=0.8)
    axes.set_yticks(list(where), [numbers.shorten(line.place, 34) for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(f"cost of its absence ({table.metric})")
    _plain(axes, lines="x")
    return figure


def _cut(axes: Axes, lines: Sequence[page.CostLine], reach: float) -> None:
    """End the axis where the usual bars end; what goes beyond says its number there."""
    beyond = [number for number, line in enumerate(lines) if abs(line.value) > reach]
    if not beyond:
        return
    inside = [line for line in lines if abs(line.value) <= reach]
    ends = [0.0, *(end for line in inside for end in (line.value, line.low, line.high) if end is not None)]
    ends += [reach if lines[number].value > 0 else -reach for number in beyond]
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low)
    axes.set_xlim(low - room if low < 0 else 0.0, high + room)
    for number in beyond:
        right = lines[number].value > 0
        said = f"{lines[number].cost} →" if right else f"← {lines[number].cost}"
        where, side = (high + 0.8 * room, "right") if right else (low - 0.8 * room, "left")
        axes.text(where, number, said, color=PAPER, fontsize=8.5, va="center", ha=side, parse_math=False, clip_on=True)


def plot_front(front: Front) -> Figure:
    """The score of the goal's metric against layers dropped, with intervals; the chosen model is marked.

    Raises MissingExtraError without matplotlib.
    """
    figure, axes = _figure(height=2.6)
    from matplotlib.ticker import MaxNLocator

    scores = [point.scores[front.metric] for point in front.points]
    dropped = [point.dropped for point in front.points]
    axes.plot(dropped, [score.edited for score in scores], color=BAR, marker="o", markersize=4, linewidth=1.6)
    for number, score in zip(dropped, scores, strict=True):
        _interval(axes, number, score)
    for point in front.points:
        if point.compensated is not None:
            ends = [point.scores[front.metric].edited, point.compensated.scores[front.metric].edited]
            axes.plot([point.dropped] * 2, ends, color=BEST, linewidth=1.2, linestyle=":", zorder=1)
            axes.plot([point.dropped], ends[1:], marker="o", markersize=4, color=BEST, linestyle="none")
            _interval(axes, point.dropped, point.compensated.scores[front.metric])
    made_up = front.choice.compensated
    chosen = (scores[front.chosen] if made_up is None else made_up.scores[front.metric]).edited
    said = "chosen" if made_up is None or not made_up.helps else f"chosen, {curve.form(front)}"
    axes.plot([front.choice.dropped], [chosen], marker="o", markersize=9, color=BEST, zorder=5, linestyle="none")
    axes.annotate(said, (front.choice.dropped, chosen), (0, 11), textcoords="offset points", color=BEST, ha="center")
    axes.set_xlabel("layers dropped")
    held = curve.held_out(front)
    axes.set_ylabel(numbers.clean(front.metric) + (f", {held}" if held else ""))
    axes.margins(x=0.06, y=0.16)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes, lines="y")
    return figure


def _interval(axes: Axes, number: int, score: Score) -> None:
    """The score's error bar, where it has one."""
    if score.low is not None and score.high is not None:
        axes.plot([number, number], [score.full + score.low, score.full + score.high], color=INK, linewidth=1.2)


def svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element for a page: text stays text, colours are the page's (`--ink`, `--bar`...).

    `name` keeps the ids of several figures on one page apart. Equal figures give equal text.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's browser draws it, not matplotlib
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"/>', "", text)  # an id may stand once in a page
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"(font-family: |font: [0-9.]+px )[^;\"]*", r"\1system-ui, sans-serif", text)
    for colour, meaning in MEANINGS.items():
        text = text.replace(colour, f"var(--{meaning})")
    return text.strip()


def _figure(height: float) -> tuple[Figure, Axes]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as cause:
        raise needs_extra("matplotlib", "report", "a figure") from cause
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _plain(axes: Axes, *, lines: Literal["x", "y"]) -> None:
    """Few lines, quiet colours; a dollar sign in a layer's name is a dollar sign."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.grid(axis=lines, color=FAINT, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    labels: list[Any] = [axes.xaxis.label, axes.yaxis.label]
    for label in labels:
        label.set(color=INK, fontsize=9.5)
    for text in (*labels, *axes.get_yticklabels()):
        text.set_parse_math(False)
