"""What several passes of one model warn of, said once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def said_once() -> Iterator[None]:
    """Inside, warnings wait; afterwards each goes out once, through the filters that are set outside."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for each in {(each.category, str(each.message)): each for each in caught}.values():
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
