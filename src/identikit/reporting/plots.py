"""Results drawn on matplotlib axes, the caller's or new ones, as its other plotting libraries do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from identikit.errors import needs_extra
from identikit.reporting import curve, numbers, page
from identikit.results import Front, ScanResult, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR, BEST, TIE, PAPER = "#8d98a5", "#1f5fc4", "#c9d0d8", "#ffffff"  # read on light ground and on dark
_WIDTH = 4.8  # inches: readable at the width of a phone as well
_MOST_BARS = 160


def plot_costs(result: ScanResult, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
    """What each layer's absence costs, one bar a layer in order of depth, with its interval; returns the axes.

    Drawn on `ax`; on those of a new figure of pyplot's where None. A scan of more than 160 rows shows the cheapest
    160. Raises MissingExtraError without matplotlib.
    """
    table = page.costs(result, metric)
    lines = list(table.lines)
    if len(lines) > _MOST_BARS:
        kept = sorted(lines, key=lambda line: line.value)[:_MOST_BARS]
        lines = [line for line in lines if line in kept]
    axes = _axes(ax, height=0.85 + 0.25 * len(lines))
    ink, faint = _inks()
    where = range(len(lines))
    colours = [BEST if line.cheapest else TIE if line.tie else BAR for line in lines]
    axes.barh(where, [line.value for line in lines], height=0.66, color=colours)
    for number, line in enumerate(lines):
        if line.low is not None and line.high is not None:
            axes.plot([line.low, line.high], [number, number], color=ink, linewidth=1.4, solid_capstyle="butt")
    _cut(axes, lines, table.reach)
    axes.axvline(0.0, color=faint, linewidth=0.8)
    axes.set_yticks(list(where), [numbers.shorten(line.place, 34) for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel(f"cost of its absence ({table.metric})")
    _plain(axes, lines="x")
    return axes


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


def plot_front(front: Front, *, ax: Axes | None = None) -> Axes:
    """The score of the goal's metric against layers dropped, with intervals; the chosen model is marked.

    Drawn on `ax`, which is returned; on the axes of a new figure of pyplot's where None. Raises MissingExtraError
    without matplotlib.
    """
    axes = _axes(ax, height=2.8)
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
    return axes


def _interval(axes: Axes, number: int, score: Score) -> None:
    """The score's error bar, where it has one."""
    if score.low is not None and score.high is not None:
        axes.plot([number, number], [score.full + score.low, score.full + score.high], color=_inks()[0], linewidth=1.2)


def _axes(ax: Axes | None, height: float) -> Axes:
    """The caller's axes; without them those of a new figure, which a notebook shows and `plt.show()` too."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as cause:
        raise needs_extra("matplotlib", "report", "a figure") from cause
    made: Axes = pyplot.subplots(figsize=(_WIDTH, height), layout="constrained")[1]
    return made


def _inks() -> tuple[Any, Any]:
    """The colours of words and of quiet lines in the style that the caller has set."""
    from matplotlib import rcParams

    return rcParams["text.color"], rcParams["grid.color"]


def _plain(axes: Axes, *, lines: Literal["x", "y"]) -> None:
    """Few lines, quiet colours; a dollar sign in a layer's name is a dollar sign."""
    ink, faint = _inks()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(faint)
    axes.tick_params(labelsize=9, length=0)
    axes.grid(axis=lines, color=faint, alpha=0.4, linewidth=0.6)
    axes.set_axisbelow(True)
    labels: list[Any] = [axes.xaxis.label, axes.yaxis.label]
    for label in labels:
        label.set(color=ink, fontsize=9.5)
    for text in (*labels, *axes.get_yticklabels()):
        text.set_parse_math(False)
