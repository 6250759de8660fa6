"""Reading JSON from strangers: no NaN, no key twice, no absurd size or depth; every refusal is one line."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from identikit.errors import IdentikitError

LARGEST_FILE = 64 * 2**20  # bytes; a plan of 100,000 edits is about 10 MB


def read(path: Path, what: str, error: type[IdentikitError]) -> Any:
    """The JSON value in the file `path`; `what` ("plan file") names it in the messages of `error`."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise error(f"{path} is no {what}: {size:,} bytes, more than the {LARGEST_FILE:,} that one may have.")
        text = path.read_bytes().decode("utf-8")
    except OSError as cause:
        raise error(f"cannot read the {what} {path}: {cause.strerror or cause}.") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path} is no {what}: it is not UTF-8 text.") from cause
    return parse(text, f"{what} {path}", error)


def parse(text: str, what: str, error: type[IdentikitError]) -> Any:
    """The JSON value that `text` holds, or `error` saying what is wrong with `what`."""

    def refuse_constant(constant: str) -> NoReturn:
        raise error(f"{what} holds {constant}, which is not a JSON number.")

    def finite(number: str) -> float:
        if math.isinf(float(number)):
            raise error(f"{what} holds a number that is too large.")
        return float(number)

    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise error(f"{what} has the key {json.dumps(twice)[:60]} twice.")
        return result

    try:
        return json.loads(text, parse_constant=refuse_constant, parse_float=finite, object_pairs_hook=refuse_twice)
    except json.JSONDecodeError as cause:
        wrong = cause.msg.removesuffix(" at")  # some of the library's messages end so
        raise error(f"{what} is damaged: {wrong} at line {cause.lineno}, column {cause.colno}.") from cause
    except RecursionError as cause:
        raise error(f"{what} is nested too deeply.") from cause
    except ValueError as cause:  # an integer of thousands of digits
        raise error(f"{what} holds a number that is too large.") from cause
