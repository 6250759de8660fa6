"""The card of the folder that a model came from: what of it holds for the smaller model too, and its text, kept.

Its text goes beside the new card, byte for byte, and not below it: the figures in it are the original model's, and
whatever reads a README (the hub takes scores out of its front matter) would take them for the smaller one's. Carried
over are the licence, the languages, the tags, and the task where it is the same; never scores.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from identikit.families.transformers_config import all_configs
from identikit.families.transformers_files import check_inside
from identikit.reporting.card import MARK

README = "README.md"
#: Where the original model's own card lies in a saved folder.
ORIGINAL = "ORIGINAL_README.md"
_LARGEST = 2**20  # bytes of a card that is read; a longer one is kept beside all the same
_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?\r?\n|)---[ \t]*(?:\r?\n|$)", re.DOTALL)  # as the hub finds it
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")  # a folder of the hub's cache: models--OWNER--NAME
_IDENTIFIER = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")

Matter = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Original:
    """A source folder's card. matter: the texts and lists of texts in its front matter. text: its bytes, or None."""

    matter: Matter = field(default_factory=dict)
    text: bytes | None = None


def original_of(like: Path | None) -> Original:
    """The card of the folder `like`; of a folder that identikit wrote, the original's that lies beside its own.

    Raises SaveError where a card there is a link out of the folder.
    """
    if like is None or not (like / README).is_file():
        return Original()
    check_inside(like / README, like)
    text = (like / README).read_bytes()
    matter = read_matter(text)
    if not written_by_us(text):
        return Original(matter, text)
    if not (like / ORIGINAL).is_file():
        return Original(matter)
    check_inside(like / ORIGINAL, like)
    return Original(matter, (like / ORIGINAL).read_bytes())


def read_matter(text: bytes) -> Matter:
    """The texts and the lists of texts in a card's front matter; nothing where there is none that can be read."""
    found = _MATTER.match(text[:_LARGEST].decode("utf-8", "replace").removeprefix("\ufeff"))
    try:
        yaml = importlib.import_module("yaml")  # comes with the libraries whose folders have cards
    except ImportError:
        return {}
    try:
        value = yaml.load(found[1], Loader=yaml.BaseLoader) if found else None  # every scalar a text: no is Norwegian
    except (yaml.YAMLError, RecursionError):
        return {}
    matter: dict[str, str | tuple[str, ...]] = {}
    for key, each in value.items() if isinstance(value, dict) else ():
        if isinstance(each, str) and each:
            matter[key] = each
        elif isinstance(each, list) and each and all(isinstance(item, str) for item in each):
            matter[key] = tuple(each)
    return matter


def written_by_us(text: bytes) -> bool:
    """Whether identikit wrote this text: its mark stands first, or first behind the front matter."""
    head = text[:_LARGEST].decode("utf-8", "replace")
    found = _MATTER.match(head)
    return head[found.end() if found else 0 :].startswith(MARK)


def base_of(model: nn.Module, like: Path | None) -> str:
    """The id on the hub of the model that `model` was loaded as; empty where nothing shows that it came from there.

    A folder of the hub's cache has it in its name; a configuration that was loaded from the hub names it, and the
    commit beside it: a name alone may be a local folder's.
    """
    cached = _CACHED.fullmatch(like.resolve().parent.parent.name) if like is not None else None
    if cached and like is not None and like.resolve().parent.name == "snapshots":
        return f"{cached[1]}/{cached[2]}"
    named = {_named(config) for config in all_configs(model)} - {""}
    return named.pop() if len(named) == 1 else ""


def same_task(model: nn.Module, like: Path | None, library: str, matter: Matter) -> bool:
    """Whether the task that a card names is this model's too: the same library, and its class as it was published."""
    if like is None or matter.get("library_name", library) != library:
        return False
    if (like / "modules.json").is_file():
        return library == "sentence-transformers"
    try:
        told = json.loads((like / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    told = told if isinstance(told, dict) else {}
    return "architecture" in told or told.get("architectures") == [type(model).__name__]


def _named(config: Any) -> str:
    name, commit = (str(getattr(config, key, None) or "") for key in ("_name_or_path", "_commit_hash"))
    return name if _COMMIT.fullmatch(commit) and _IDENTIFIER.fullmatch(name) else ""
