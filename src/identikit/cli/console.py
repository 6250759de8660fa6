"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from identikit.errors import IdentikitError, IdentikitWarning
from identikit.reporting.numbers import clean

_GRACE = 3.0  # seconds
_UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h; 1 says that an audit found a mistake


def speaks() -> bool:
    """Whether this process writes: under torchrun only the first rank does."""
    return int(os.environ.get("WORLD_SIZE", "1")) <= 1 or int(os.environ.get("RANK", "0")) == 0


def show(*what: RenderableType) -> None:
    """Print results."""
    console = Console()
    for each in what:
        console.print(_shown(each) if isinstance(each, str) else each)


def show_json(value: Any) -> None:
    """Print results for another program."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def heading(text: str, said: str) -> None:
    """Print the title of a step, and what it is in a few words."""
    Console().print(Text.assemble("\n", (text, "bold"), ("   " + said if said else "", "dim"), "\n"))


def note(text: str) -> None:
    """Print what happens, for a person who watches."""
    Console(stderr=True).print(_shown(text, style="dim"))


def _shown(text: str, style: str = "") -> Text:
    """`text` as it stands: no markup is read in it, and nothing in it steers the terminal."""
    return Text("\n".join(map(clean, text.split("\n"))), style=style)


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """For a person a warning of identikit is one line, and no line of its code; those of libraries stay as they are."""
    plain = warnings.formatwarning

    def line(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
        if not issubclass(category, IdentikitWarning):
            return plain(message, category, *where, **more)
        return f"note: {clean(' '.join(str(message).split()))}\n"

    warnings.formatwarning = line
    try:
        yield
    finally:
        warnings.formatwarning = plain


def complain(error: BaseException | str) -> int:
    """Print one line that says what is wrong; returns the exit code."""
    if not speaks():  # what stops all ranks is said by the first, and torchrun ends the others while they wait here
        time.sleep(_GRACE)
    known = isinstance(error, (IdentikitError, str))
    text = str(error) if known else f"{type(error).__name__}: {error} (this is not expected; --debug shows where)"
    line = clean(" ".join(text.split()))
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), line))
    return error.exit_code if isinstance(error, IdentikitError) else _UNEXPECTED
