"""Sizes that count something: whole numbers from 1 on."""

from __future__ import annotations

from identikit.errors import BlockError


def check_counts(owner: str, **counts: int) -> None:
    """Raise BlockError unless each is a whole number of at least 1."""
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise BlockError(f"{owner}: {name}={count!r} is no whole number from 1 on. Use {name}=1 or more.")
