"""How much memory a user allows: a number of bytes, or a text such as "2GB"."""

from __future__ import annotations

import re

from identikit.errors import IdentikitError, MetricError

_UNITS = {"": 1, "B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)}}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Z]*)\s*")


def bytes_of(
    size: int | str | None,
    *,
    what: str = "batch_memory (--batch-memory)",
    error: type[IdentikitError] = MetricError,
) -> int | None:
    """`size` in bytes: "2GB" is 2,000,000,000, "2GiB" 2,147,483,648; None stays None.

    Raises `error` for what is no size above zero.
    """
    if size is None:
        return None
    found = _SIZE.fullmatch(size.upper()) if isinstance(size, str) else None
    if isinstance(size, int) and not isinstance(size, bool):
        count = size
    else:
        count = round(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else 0
    if count < 1:
        raise error(f'{what}={size!r} is no size in bytes. Write a number, or "2GB", "512MB", "1.5GiB".')
    return count


def size_text(count: int, *, digits: int = 15) -> str:
    """`count` bytes as `bytes_of` reads them, in so many digits, rounded up: 400MB, 12.4kB."""
    power = max(0, min(4, (len(str(count)) - 1) // 3))
    unit = "B" if power == 0 else f"{'kMGT'[power - 1]}B"
    step = 10 ** max(0, len(str(count)) - digits)
    return f"{-(-count // step) * step / 1000**power:.15g}{unit}"
