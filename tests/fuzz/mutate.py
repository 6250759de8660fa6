"""A mutation that keeps JSON sound: what bytes cannot reach by chance, a key renamed, a value of another type."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 10**30, 0.5, -0.0, 1e308, -1e308),
    *("", "a", "0", "a.b", "../x", " ", "\x00", "\u202e", "\ud800", "x" * 300, "x" * 11_000, "sha256:" + "0" * 32),
    *([], {}, [[]], ["a", "a"], {"": 0}, [None], "a + a", "*", "a.[1:2]"),
]


def mutated(content: bytes, seed: int) -> bytes | None:
    """`content`, lines of JSON or one value, with one to three values in it changed; None where it holds no JSON."""
    chance = random.Random(seed)
    lines, joined = _values(content)
    if not lines:
        return None
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        lines[number] = _changed(lines[number], chance)
    if joined == "\n" and chance.random() < 0.1:
        lines.insert(chance.randrange(len(lines) + 1), copy.deepcopy(chance.choice(lines)))
    return "".join(json.dumps(line) + joined for line in lines).encode()


def _values(content: bytes) -> tuple[list[Any], str]:
    text = content.decode("utf-8", "replace")
    try:
        return [json.loads(text)], ""
    except (ValueError, RecursionError):
        pass_on = text.splitlines()
    try:
        return [json.loads(line) for line in pass_on if line.strip()], "\n"
    except (ValueError, RecursionError):
        return [], ""


def _changed(value: Any, chance: random.Random) -> Any:
    """`value` with something done to it, or to something within it."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.95:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        how = chance.random()
        if how < 0.8:
            value[key] = _changed(value[key], chance)
        elif how < 0.87:
            del value[key]
        elif isinstance(value, list):
            value.insert(key, copy.deepcopy(chance.choice(value)))
        else:
            value[chance.choice(["", "a", "x" * 300, "\ud800", "\x00", "0", *value])] = copy.deepcopy(value[key])
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and chance.random() < 0.5:
        return value + chance.choice([1, -1, 0.5, 1e-7, 1e9])
    if isinstance(value, str) and value and chance.random() < 0.3:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice(["\n", ".", "\x7f", "\ud800", "é", "0", " "]) + value[at:]
    return copy.deepcopy(chance.choice(_VALUES))
