"""A wrong option, argument or verb, in one line: what is wrong, the nearest right thing, an example to change."""

from __future__ import annotations

import difflib
import re
from typing import Any

import typer

#: The class of every such error; typer hands out this child of it alone.
UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]
_NUMBERS = {"a valid integer": "a whole number", "a valid number": "a number"}


def said(error: Any) -> str:
    """The line for `error`, one of `UsageError`."""
    verb = error.ctx.command_path if error.ctx is not None else "identikit"
    text = _plain(error)
    text = text if text.endswith((".", "?")) else f"{text}."
    example = _example(error) if text.startswith("Missing") else ""
    return f"{text} See {verb} --help.{example}"


def _plain(error: Any) -> str:
    """The message without the words of the libraries that checked the value, with the nearest name."""
    asked = getattr(error, "option_name", None)
    if isinstance(asked, str):
        return f"No such option: {asked}.{_nearest(asked, _options(error.ctx))}"
    text = str(error.format_message())
    text = text.replace("Value error, ", "")
    if found := re.search(r"'([^']*)' is not one of (.*?)\.?$", text):
        known = re.findall(r"'([^']*)'", found[2])
        return f"{text.rstrip('.')}.{_nearest(found[1], known)}"
    if found := re.search(r"Input should be (a valid integer|a valid number)\b.*$", text):
        return f"{text[: found.start()]}it is not {_NUMBERS[found[1]]}"
    return text.replace("Input should be", "it should be")


def _options(context: Any) -> list[str]:
    """Every option of the verb that was asked."""
    return [name for option in context.command.params for name in option.opts if name.startswith("--")]


def _nearest(word: str, known: list[str]) -> str:
    """` Did you mean --data?`: the nearest; an option cut short means the one it begins."""
    begun = [name for name in known if name.startswith(word)]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def _example(error: Any) -> str:
    """The verb's own example, where it has one."""
    example = getattr(error.ctx.command, "epilog", None) if error.ctx is not None else None
    return f" {example}" if example else ""
