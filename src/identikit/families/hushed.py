"""A library's logger kept quiet for the time of a call whose outcome identikit judges itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed(library: str) -> Iterator[None]:
    """No log line below an error from `library`, for the time of the block."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
