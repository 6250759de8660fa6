"""Reading one object of a result file: each value has the type, size and range it must have, or a ResultError."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from identikit.errors import PlaceError, ResultError
from identikit.places import check_path

LONGEST_TEXT = 10_000  # characters of a note or a command line
LONGEST_NAME = 1_000  # of a metric, a layer, a library: names stand in messages
LARGEST_COUNT = 10**18
_SAID = 200  # characters of one value in a message


class Fields:
    """The keys of one JSON object; `what` ("scan.jsonl, line 3") names it in the messages."""

    def __init__(self, value: Any, what: str, *, known: Iterable[str], needed: Iterable[str] = ()) -> None:
        if not isinstance(value, dict):
            raise ResultError(f"{what} must be an object with keys and values, not {_kind(value)}.")
        if unknown := sorted(set(value) - set(known)):
            raise ResultError(f"{what} has the unknown key {_shown(unknown[0])}.")
        if missing := [key for key in needed if key not in value]:
            raise ResultError(f'{what} lacks the key "{missing[0]}".')
        self.value, self.what = value, what

    def text(self, key: str, default: str = "") -> str:
        """A text without surrogates, at most LONGEST_TEXT characters."""
        return check_text(self.value.get(key, default), f'{self.what}: "{key}"')

    def name(self, key: str) -> str:
        """A text that can stand in a message: of one line, without control characters."""
        return check_name(self.value.get(key), f'{self.what}: "{key}"')

    def number(self, key: str) -> float:
        """A finite number."""
        return check_number(self.value.get(key), f'{self.what}: "{key}"')

    def maybe(self, key: str) -> float | None:
        """A finite number or null."""
        return None if self.value.get(key) is None else self.number(key)

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number from 0 on."""
        value = self.value.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_COUNT:
            raise ResultError(f'{self.what}: "{key}" must be a whole number from 0 on, not {_shown(value)}.')
        return value

    def maybe_count(self, key: str) -> int | None:
        """A whole number from 0 on, or null."""
        return None if self.value.get(key) is None else self.count(key)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.value.get(key)
        if not isinstance(value, bool):
            raise ResultError(f'{self.what}: "{key}" must be true or false, not {_shown(value)}.')
        return value

    def list(self, key: str, most: int) -> list[Any]:
        """A list of at most `most` values; empty where the key is absent."""
        value = self.value.get(key, [])
        if not isinstance(value, list) or len(value) > most:
            raise ResultError(f'{self.what}: "{key}" must be a list of at most {most:,} values.')
        return value

    def texts(self, key: str, most: int = 10_000) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(check_text(item, f'{self.what}: each of "{key}"') for item in self.list(key, most))

    def places(self, key: str, most: int = 100_000) -> tuple[str, ...]:
        """A list of module paths."""
        try:
            return tuple(check_path(item) for item in self.texts(key, most))
        except PlaceError as cause:
            raise ResultError(f'{self.what}: "{key}": {cause}') from cause

    def object(self, key: str, most: int = 100_000) -> dict[str, Any]:
        """An object of at most `most` keys; empty where the key is absent."""
        value = self.value.get(key, {})
        if not isinstance(value, dict) or len(value) > most:
            raise ResultError(f'{self.what}: "{key}" must be an object of at most {most:,} keys.')
        for name in value:
            check_name(name, f'{self.what}: each key of "{key}"')
        return value


def check_format(value: Any, wanted: str, version: int, what: str, *, oldest: int | None = None) -> dict[str, Any]:
    """The keys beside "format" and "version", which must be `wanted` and `version`; ResultError otherwise.

    `oldest`: the first version that is read too.
    """
    if not isinstance(value, dict) or value.get("format") != wanted:
        raise ResultError(f'{what} is none: it does not start with "format": "{wanted}".')
    found = value.get("version")
    first = version if oldest is None else oldest
    if type(found) is not int or not first <= found <= version:  # True is 1, but no version
        reads = f"version {version}" if first == version else f"versions {first} to {version}"
        anew = "Update identikit, or measure anew with this one."
        raise ResultError(f"{what} has version {_shown(found)}; this identikit reads {reads}. {anew}")
    return {key: item for key, item in value.items() if key not in ("format", "version")}


def check_text(value: Any, what: str) -> str:
    """`value` where it is a text that can be written again; ResultError otherwise."""
    if not isinstance(value, str):
        raise ResultError(f"{what} must be a text, not {_kind(value)}.")
    if len(value) > LONGEST_TEXT:
        raise ResultError(f"{what} has {len(value):,} characters; at most {LONGEST_TEXT:,} are allowed.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ResultError(f"{what} holds half a character (a lone surrogate).")
    return value


def check_name(value: Any, what: str) -> str:
    """`value` where it is a text that can stand in a message, as names do; ResultError otherwise."""
    if len(check_text(value, what)) > LONGEST_NAME:
        raise ResultError(f"{what} has {len(value):,} characters; a name has at most {LONGEST_NAME:,}.")
    if not value.isprintable():
        raise ResultError(f"{what} must be text of one line without control characters, not {_shown(value)}.")
    return str(value)


def check_number(value: Any, what: str) -> float:
    """`value` as a float where it is a finite number; ResultError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ResultError(f"{what} must be a number, not {_kind(value)}.")
    if isinstance(value, int) and abs(value) > 10**300:
        raise ResultError(f"{what} is too large a number.")
    if not math.isfinite(value):
        raise ResultError(f"{what} is {value}, which is no number to compare.")
    return float(value)


def said(value: Any) -> str:
    """`value`, of a file, as a message shows it: the text itself, but escaped and cut where it is not of one line."""
    text = str(value)
    return text if text.isprintable() and len(text) <= _SAID else _shown(value)


def listed(names: Iterable[str]) -> str:
    """Names for a message, as many as it holds."""
    text = ", ".join(names)
    return text if len(text) <= _SAID else f"{text[:_SAID]}..."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
