"""The YAML block at the head of a model card: texts and lists of texts, written so that every YAML reads the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from identikit.reporting import numbers

_PLAIN = re.compile(r"[A-Za-z][\w./-]*( [\w./-]+)*")  # what YAML reads as this very text, whatever its version
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def front_matter(matter: Mapping[str, str | Sequence[str]]) -> str:
    """The YAML block of the hub's format: keys with a text, or a list of texts."""
    lines = []
    for key, value in matter.items():
        if isinstance(value, str):
            lines.append(f"{key}: {_scalar(value)}")
        else:
            lines += [f"{key}:", *(f"- {_scalar(each)}" for each in value)]
    return "\n".join(["---", *lines, "---", ""])


def _scalar(text: str) -> str:
    """A text that stays one in every version of YAML: `no` is Norwegian here, and no false."""
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return text if plain else json.dumps(numbers.clean(text), ensure_ascii=False)
