"""How a number and a name are written, the same on the terminal, in Markdown and in HTML: never 17 digits."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

from identikit.places import natural_key

_MOST_DECIMALS = 6
_HUGE = 1e6  # from here on powers of ten
_RUN = 4  # neighbouring layers, from which on a span is shorter to read than a list


def score(value: float) -> str:
    """A metric's score to four significant digits: 0.8672, 1.000, 86.72."""
    return fixed(value, _decimals(abs(value), 4))


def fixed(value: float, decimals: int, *, sign: bool = False) -> str:
    """`value` with so many decimals; very large ones as a power of ten."""
    if abs(value) >= _HUGE:
        return f"{value:+.2e}" if sign else f"{value:.2e}"
    rounded = round(value, decimals) + 0.0  # no "-0.00"
    return f"{rounded:+,.{decimals}f}" if sign and rounded else f"{rounded:,.{decimals}f}"


def decimals_of(values: Iterable[float], errors: Iterable[float]) -> int:
    """How many decimals a column of values with errors needs: two digits of a usual error, three of a usual value."""
    usual = _median(error for error in errors if error > 0.0)
    size = _median(abs(value) for value in values)
    return min(_decimals(usual, 2), _decimals(size, 5)) if usual else _decimals(size, 3)


def decimals_here(value: float, error: float, column: int) -> int:
    """How many of the column's decimals one value deserves: 1,200 ± 105 may stand above -0.011 ± 0.041."""
    return min(column, _decimals(error, 3) if error > 0.0 else _decimals(abs(value), 4))


def _median(values: Iterable[float]) -> float:
    found = sorted(values)
    return found[len(found) // 2] if found else 0.0


def _decimals(size: float, digits: int) -> int:
    if size <= 0.0:
        return digits - 1
    rounded = float(f"{size:.{digits - 1}e}")  # 0.9999 is written 1.00
    return min(_MOST_DECIMALS, max(0, digits - 1 - math.floor(math.log10(rounded))))


def count(value: float) -> str:
    """A count of parameters in a readable form: 384, 1.77 M, 22.7 M, 7.24 G."""
    return _scaled(value, ("", " k", " M", " G", " T"), 1000.0).strip()


def size(value: float) -> str:
    """Bytes on disk: 90.9 MB (a million bytes each)."""
    return _scaled(value, (" B", " kB", " MB", " GB", " TB"), 1000.0)


def _scaled(value: float, units: Sequence[str], step: float) -> str:
    amount, unit = float(value), 0
    while unit < len(units) - 1 and round(amount, _decimals(abs(amount), 3)) >= step:
        amount, unit = amount / step, unit + 1
    whole = unit == 0 and amount == int(amount)
    return f"{amount:,.0f}{units[unit]}" if whole else f"{amount:,.{_decimals(abs(amount), 3)}f}{units[unit]}"


def seconds(value: float) -> str:
    """A time to three digits: 840 us, 12.3 ms, 1.24 s, 2 min 5 s."""
    if value >= 90.0:
        whole = round(value)
        return f"{whole // 60} min {whole % 60} s"
    for unit, step in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= step * 0.9995 or unit == "us":
            return f"{value / step:.{_decimals(value / step, 3)}f} {unit}"
    raise AssertionError("the last unit takes every time")


def percent(share: float) -> str:
    """A share (1 is all) with one decimal: 15.3 %."""
    return f"{fixed(100.0 * share, 1)} %"


def change(before: float, after: float) -> str:
    """How much less or more: -15.6 %."""
    return f"{fixed(100.0 * (after - before) / before, 1, sign=True)} %" if before else ""


def plural(number: int, thing: str) -> str:
    """1 layer, 2 layers, 1,234 layers."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def aligned(texts: Sequence[str]) -> list[str]:
    """Numbers as texts of one width, their decimal points under each other."""
    parts = [text.partition(".") for text in texts]
    before = max((len(part[0]) for part in parts), default=0)
    after = max((len(part[1] + part[2]) for part in parts), default=0)
    return [part[0].rjust(before) + (part[1] + part[2]).ljust(after) for part in parts]


def clean(text: str) -> str:
    """`text` on one line, without what steers a terminal or turns the direction of writing."""
    return "".join(_safe(character) for character in text)


def _safe(character: str) -> str:
    if character in "\t\n\r\u2028\u2029":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character


def shorten(path: str, width: int) -> str:
    """`path` in at most `width` characters: what is left out is at the front, because the end tells layers apart."""
    return path if len(path) <= width else "…" + path[len(path) - max(1, width) + 1 :]


def fitted(text: str, width: int) -> str:
    """`text` for a column of `width`: a single stack loses the front of its path, several go on several lines."""
    numbered = text.rpartition(".")[2]
    if " " not in text and len(numbered) + 3 <= width:
        return shorten(text, width)
    return fold(text, width)


def fold(text: str, width: int) -> str:
    """`text` in lines of at most `width` characters where its commas and spaces allow it."""
    lines = [""]
    for piece in re.findall(r"[^, ]*[, ]?", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def grouped(places: Iterable[str]) -> str:
    """Places as one text that `--at` takes too: encoder.layer.[1,3], layers.[4:12], or several with a space between."""
    stacks: dict[tuple[str, bool], list[str]] = {}
    for place in sorted(places, key=natural_key):
        parent, _, last = place.rpartition(".")
        numbered = last.isascii() and last.isdecimal()
        stacks.setdefault((parent if numbered else place, numbered), []).append(last)
    return clean(" ".join(_group(*stack, children) for stack, children in stacks.items()))


def _group(parent: str, numbered: bool, children: list[str]) -> str:
    if not numbered:
        return parent
    chosen = children[0] if len(children) == 1 else f"[{_span(children) or ','.join(children)}]"
    return f"{parent}.{chosen}" if parent else chosen


def _span(children: list[str]) -> str:
    """`4:12` for 4, 5, ... 11; empty for what is no run of neighbours, or so short that a list is as short."""
    first = int(children[0])
    run = [str(number) for number in range(first, first + len(children))]
    return f"{first}:{first + len(children)}" if len(children) >= _RUN and children == run else ""
