"""What the attacks share: a payload that leaves a file if it is ever run, texts that try to be more than texts."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from identikit.errors import IdentikitError

#: Shown to a person, each of these must stay the text that it is.
HOSTILE_TEXTS = {
    "a script": "</title></style><script>alert(1)</script>",
    "an attribute": '" onmouseover="alert(1)" x="',
    "an image": "<img src=x onerror=alert(1)>",
    "a template": "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "a link": "[here](javascript:alert(1)) ![x](http://127.0.0.1/x) <http://127.0.0.1>",
    "a table": "a | b\\| c || d",
    "code": "``` ` ~~~",
    "new lines": "x\r\r# A heading\n\n<script>alert(1)</script>\n\n| a |\n|---|\n\x85\u2028y",
    "a heading": "# Not a heading",
    "a list": "1. no list",
    "a rule": "--- ---",
    "formulas": "$\\frac{1}{0}$ ]]> &lt;b&gt;",
    "a terminal": "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\x08\x00",
    "markup": "[red]a[/red] [link=http://127.0.0.1]b[/link] :boom:",
    "directions": "\u202egpj.exe\u2066",
}


class Bomb:
    """Makes the file `flag` where it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.flag,))


def python_that_touches(flag: Path) -> str:
    """The first lines of a Python file that makes `flag` when it is imported."""
    return f"from pathlib import Path\nPath({str(flag)!r}).touch()\n"


def pickled(bomb: Bomb) -> bytes:
    """A pickle as it is, in the protocol that torch writes."""
    return pickle.dumps(bomb, protocol=2)


def refused(act: Callable[[], object], kind: type[IdentikitError] = IdentikitError) -> str:
    """The message that `act` ends in: one line of at most a few hundred characters."""
    with pytest.raises(kind) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1_000
    return message


def change(file: Path, **values: Any) -> None:
    """Set keys of a JSON file."""
    old = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**old, **values}))
