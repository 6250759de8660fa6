"""How much memory a user allows: a number of bytes, or a text such as "2GB"."""

from __future__ import annotations

import re

from identikit.errors import MetricError

_UNITS = {"": 1, "B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)}}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Z]*)\s*")


def bytes_of(size: int | str | None, *, what: str = "batch_memory (--batch-memory)") -> int | None:
    """`size` in bytes: "2GB" is 2,000,000,000, "2GiB" 2,147,483,648; None stays None.

    Raises MetricError for what is no size above zero.
    """
    if size is None:
        return None
    found = _SIZE.fullmatch(size.upper()) if isinstance(size, str) else None
    if isinstance(size, int) and not isinstance(size, bool):
        count = size
    else:
        count = int(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else 0
    if count < 1:
        raise MetricError(f'{what}={size!r} is no size in bytes. Write a number, or "2GB", "512MB", "1.5GiB".')
    return count
