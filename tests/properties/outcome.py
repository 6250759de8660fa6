"""Reading what may be spoiled: a value, or a refusal that a person can be shown; any other error fails the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from identikit.errors import IdentikitError


def read_or_refused(read: Callable[[], Any], refusal: type[IdentikitError]) -> Any:
    """What `read` gives; None where it refuses, in one line of text that every terminal and file can hold."""
    try:
        return read()
    except refusal as error:
        said = str(error)
    assert said
    assert said.isprintable(), said
    return None
