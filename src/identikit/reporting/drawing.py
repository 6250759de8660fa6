"""Figures of a page as SVG: text keeps its size at every width, colours are the style sheet's, nothing runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from identikit.reporting import numbers

LEFT, RIGHT, TOP, BOTTOM = 9.0, 98.0, 26, 44  # per cent of the width; pixels above and below
_WORDS = 11  # pixels: the height of a small text


@dataclass(frozen=True)
class Dot:
    """A point of a figure: where, its interval upwards and sideways, which style, and the words on it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    left: float | None = None
    right: float | None = None
    style: str = "dot"
    said: str = ""


@dataclass(frozen=True)
class Frame:
    """The area that things are drawn in: which values it spans, how high it is, what the axes are called."""

    xs: tuple[float, float]
    ys: tuple[float, float]
    across: str
    up: str
    height: int = 280
    whole: bool = False  # the values across are counts

    @classmethod
    def around(cls, dots: Sequence[Dot], across: str, up: str, *, whole: bool = False, zero: bool = False) -> Frame:
        """The frame that holds all `dots` with some room around; with `zero`, the height 0 too."""
        xs = [value for dot in dots for value in (dot.x, dot.left, dot.right) if value is not None]
        ys = [value for dot in dots for value in (dot.y, dot.low, dot.high) if value is not None]
        return cls(_room(xs, 0.05), _room([*ys, 0.0] if zero else ys, 0.12), across, up, whole=whole)

    def x(self, value: float) -> str:
        low, high = self.xs
        return f"{LEFT + (RIGHT - LEFT) * (value - low) / (high - low):.2f}%"

    def y(self, value: float) -> str:
        low, high = self.ys
        return f"{self.height - BOTTOM - (self.height - BOTTOM - TOP) * (value - low) / (high - low):.1f}"

    def svg(self, drawn: Iterable[str]) -> str:
        """The whole figure. The words for those who do not see it stand on the element around it."""
        parts = [*self._axes(), *drawn]
        return f'<svg class="chart" width="100%" height="{self.height}" aria-hidden="true">{"".join(parts)}</svg>'

    def _axes(self) -> Iterable[str]:
        base = self.height - BOTTOM
        steps = ticks(*self.ys, most=6)
        decimals = _decimals(steps)
        for value in steps:
            y = self.y(value)
            yield f'<line class="rule" x1="{LEFT}%" x2="{RIGHT}%" y1="{y}" y2="{y}"/>'
            yield words(f"{LEFT - 1.5}%", float(y) + 4, numbers.fixed(value, decimals), "end")
        steps = ticks(*self.xs, most=6, whole=self.whole)
        decimals = _decimals(steps)
        for value in steps:
            yield words(self.x(value), base + 18, numbers.fixed(value, decimals), "middle")
        yield f'<line class="axis" x1="{LEFT}%" x2="{RIGHT}%" y1="{base}" y2="{base}"/>'
        yield words(f"{(LEFT + RIGHT) / 2}%", self.height - 6, self.across, "middle", "name")
        yield words("0", _WORDS, self.up, "start", "name")

    def line(self, dots: Sequence[Dot], style: str = "curve") -> Iterable[str]:
        """Straight lines from each dot to the next."""
        for one, other in pairwise(dots):
            ends = f'x1="{self.x(one.x)}" y1="{self.y(one.y)}" x2="{self.x(other.x)}" y2="{self.y(other.y)}"'
            yield f'<line class="{style}" {ends}/>'

    def dots(self, dots: Iterable[Dot], radius: float = 4) -> Iterable[str]:
        """The dots, each above its intervals; the words on one show where the pointer rests."""
        for dot in dots:
            x, y = self.x(dot.x), self.y(dot.y)
            if dot.low is not None and dot.high is not None:
                yield f'<line class="bound" x1="{x}" x2="{x}" y1="{self.y(dot.low)}" y2="{self.y(dot.high)}"/>'
            if dot.left is not None and dot.right is not None:
                yield f'<line class="bound" x1="{self.x(dot.left)}" x2="{self.x(dot.right)}" y1="{y}" y2="{y}"/>'
            said = f"<title>{escape(dot.said)}</title>" if dot.said else ""
            yield f'<circle class="{dot.style}" cx="{x}" cy="{y}" r="{radius}">{said}</circle>'


def words(x: str, y: float, text: str, anchor: str, style: str = "tick") -> str:
    """A line of text; `x` is a length of SVG ("14%")."""
    return f'<text class="{style}" x="{x}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def bar(value: float, low: float | None, high: float | None, span: tuple[float, float], style: str) -> str:
    """A bar from zero within `span`, with its interval; one that ends outside of it is cut, and shows that."""
    first, last = span

    def at(where: float) -> float:
        return 100.0 * (min(last, max(first, where)) - first) / (last - first)

    start, end = sorted((at(0.0), at(value)))
    width = max(end - start, 0.4)
    parts = [f'<rect class="{style}" x="{start:.2f}%" width="{width:.2f}%" y="3" height="10" rx="1.5"/>']
    if first < 0.0 < last:
        parts.append(f'<line class="axis" x1="{at(0.0):.2f}%" x2="{at(0.0):.2f}%" y1="0" y2="16"/>')
    cut = value > last or value < first
    if cut:
        where = 94.0 if value > last else 6.0
        parts += [
            f'<line class="cut" x1="{where + step}%" x2="{where + step + 1.5}%" y1="16" y2="0"/>' for step in (0, 1.8)
        ]
    elif low is not None and high is not None:
        parts.append(f'<line class="bound" x1="{at(low):.2f}%" x2="{at(high):.2f}%" y1="8" y2="8"/>')
    return f'<svg class="bar" width="100%" height="16" aria-hidden="true">{"".join(parts)}</svg>'


def ticks(low: float, high: float, *, most: int, whole: bool = False) -> list[float]:
    """Round numbers between two values, at most `most`."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= most - 1)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _room(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = share * (high - low) or 0.5 * abs(high) or 1.0
    return low - room, high + room


def _decimals(steps: Sequence[float]) -> int:
    step = steps[1] - steps[0] if len(steps) > 1 else 1.0
    return max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
