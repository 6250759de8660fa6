"""What a saved estimator says in JSON: text, bools, numbers, None, and lists of them; anything else is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from identikit.errors import SaveError

_PLAIN = (str, bool, int, float, type(None))


def plain(value: Any, name: str) -> Any:
    """`value` as JSON can hold it, lists of plain values too. Raises SaveError for an object that it cannot."""
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_cell(each, name) for each in value]
    return plain_cell(value, name)


def plain_cell(value: Any, name: str) -> Any:
    """A single `value`; a tuple is none, as JSON would make it a list."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise SaveError(f"{name} holds {value}, which a file of JSON cannot.")
    if not isinstance(value, _PLAIN):
        fix = "set_params(random_state=0)" if name == "random_state" else "Give text or numbers, and fit again"
        raise SaveError(f"{name} holds a {type(value).__name__}, which a file of text cannot. {fix}.")
    return value
