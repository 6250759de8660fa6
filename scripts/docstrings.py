"""Docstrings as the site wants them: their sections in the form that griffe reads, with nothing of them lost.

Here a docstring's `Raises:` are sentences (one line may name several kinds), its `Args:` may end with a sentence on the
rest, and its one `Example:` is a session. griffe wants a pair in each line, and `Examples:`.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_RAISES = re.compile(r"^Raises:\n(?P<said>(?:    .*\n?)+)", re.MULTILINE)
_KIND = re.compile(r"\b([A-Z]\w+(?:Error|Warning))(?=[,:])")
_ARGS = re.compile(r"^Args:\n(?P<said>(?:    .*\n?)+)", re.MULTILINE)
_NAME = re.compile(r"    [\w*]+(?:, [\w*]+)*:")


class Sections(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """The same docstring with `Raises:` as a paragraph, what is no argument behind `Args:`, and `Examples:`."""
    text = _RAISES.sub(_raises, f"{text}\n")
    text = _ARGS.sub(_args, text)
    return re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE).rstrip()


def _raises(found: re.Match[str]) -> str:
    said = _KIND.sub(r"`\1`", " ".join(found["said"].split()))
    return f"**Raises.** {said}\n"


def _args(found: re.Match[str]) -> str:
    lines = found["said"].rstrip("\n").split("\n")
    first = next(
        (at for at, line in enumerate(lines) if line[:5].strip() and not _NAME.match(line)), len(lines)
    )  # a sentence on the rest stands last
    rest = " ".join(" ".join(lines[first:]).split())
    kept = "\n".join(lines[:first])
    return f"Args:\n{kept}\n" + (f"\n{rest}\n" if rest else "")
