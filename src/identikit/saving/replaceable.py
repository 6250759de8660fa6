"""May this folder be replaced? Only where all in it is a model's; what is the user's own is named, and stays."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

from identikit.errors import SaveError
from identikit.families import FAMILIES
from identikit.saving.card import ASIDE, README, ours
from identikit.saving.original import ORIGINAL

#: A folder with one of the first and one of the second is a model's.
_DESCRIPTIONS = ("config.json", "modules.json", "plan.json")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
#: What model libraries write beside them. Anything else is the user's.
_KNOWN = (
    *("*.json", "*.safetensors", "pytorch_model*.bin", "*.model", "*.spm", "*.tiktoken", "*.jinja", "vocab*"),
    *("merges.txt", "dict.txt", "bpe.codes", ".gitattributes", README, ASIDE, ORIGINAL, "LICENSE*"),
    *("LICENCE*", "NOTICE*"),
)
_KNOWN_FOLDERS = re.compile(r"\d+_\w+|additional_chat_templates")
#: Texts for people that a new checkpoint takes over from the one that it replaces.
_KEPT = (README, "LICENSE*", "LICENCE*", "NOTICE*")


def check_replaceable(folder: Path) -> None:
    """Raise SaveError where `folder` is no model's, or holds what a model library did not write."""
    described = any((folder / name).is_file() for name in _DESCRIPTIONS)
    inside = [folder, *(path for path in folder.iterdir() if path.is_dir() and _KNOWN_FOLDERS.fullmatch(path.name))]
    if not described or not any(True for place in inside for pattern in _WEIGHTS for _ in place.glob(pattern)):
        if any(family.owns(folder) for family in FAMILIES):  # under names of its own
            return
        raise SaveError(f"{folder} holds no model, so it is not replaced. Name another folder, or empty it yourself.")
    foreign = sorted(path.name for path in folder.iterdir() if not _is_known(path))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise SaveError(
            f"{folder} also holds {foreign[0]}{more}, which is no part of a model, so it is not replaced. "
            "Move that away, or name another folder."
        )


def kept_texts(folder: Path) -> list[Path]:
    """The texts for people in `folder`, which the checkpoint that replaces it keeps; not what identikit said of it."""
    texts = [path for path in folder.iterdir() if path.is_file() and any(fnmatch(path.name, name) for name in _KEPT)]
    return [path for path in texts if not ours(path)]


def _is_known(path: Path) -> bool:
    if path.is_dir():
        return _KNOWN_FOLDERS.fullmatch(path.name) is not None
    return any(fnmatch(path.name, pattern) for pattern in _KNOWN)
