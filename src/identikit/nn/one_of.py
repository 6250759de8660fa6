"""An option that is a word: one of those that are known, or an error that names the nearest."""

from __future__ import annotations

from collections.abc import Iterable

from identikit.errors import BlockError, did_you_mean


def one_of(owner: str, option: str, value: str, known: Iterable[str]) -> None:
    """Raise BlockError unless `value` is one of `known`."""
    known = tuple(known)
    if value not in known:
        listed = ", ".join(f'"{each}"' for each in known)
        raise BlockError(f'{owner}: no {option}="{value}".{did_you_mean(str(value), known)} Use one of {listed}.')
