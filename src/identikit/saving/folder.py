"""A folder that appears whole or not at all: filled beside its place, then renamed; an old one stays until then."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from identikit.disk_errors import explained, still_aside
from identikit.errors import SaveError
from identikit.files import exchanged, flush_all, flush_folder
from identikit.locks import locked
from identikit.saving.replaceable import check_replaceable, kept_texts


def check_place(folder: Path, overwrite: bool) -> None:
    """Refuse a place that cannot take a new folder, before any work is done. Raises SaveError."""
    if folder.exists() and not folder.is_dir():
        raise SaveError(f"{folder} is a file. Name a folder that does not exist yet.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise SaveError(
                f"{folder} exists already. Name another folder, or replace it with --overwrite (overwrite=True)."
            )
        check_replaceable(folder)


@contextmanager
def proved_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `folder` to fill and prove; it takes the place when the block ends without an error.

    After an error nothing is left of it and what stood at `folder` stands there still. What a killed process left
    beside `folder` is cleared away first. A link is followed. Raises SaveError.
    """
    check_place(folder, overwrite)
    target = Path(os.path.realpath(folder))
    with explained(folder), _parents_of(target), locked(target):
        _clear_leftovers(target)
        check_place(folder, overwrite)
        partial = _beside(target, "partial")
        partial.mkdir()
        try:
            with _system_errors():
                yield partial
            flush_all(partial)
            _swap(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, target: Path) -> None:
    """Put `partial` in the place of `target`; the old one is deleted last, and comes back if the renaming fails.

    At one stroke where the system can do that; else there is a moment in which neither stands there.
    """
    if not target.exists():
        partial.rename(target)
        flush_folder(target.parent)
        return
    for text in kept_texts(target):
        if not (partial / text.name).exists():
            shutil.copy2(text, partial / text.name)
    if exchanged(partial, target):  # the old one is the partial one now, and goes with it
        flush_folder(target.parent)
        return
    aside = _beside(target, "old")
    try:
        target.rename(aside)
        partial.rename(target)
    except BaseException:
        try:
            if not target.exists():
                aside.rename(target)
        except OSError as cause:
            raise still_aside(target, aside, cause) from cause
        raise
    flush_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _system_errors() -> Iterator[None]:
    """safetensors wraps the system's own errors in a text; they come out again."""
    try:
        yield
    except SafetensorError as cause:
        number = re.search(r"\(os error (\d+)\)", str(cause))
        raise OSError(int(number[1]) if number else 0, str(cause)) from cause


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{what}-{secrets.token_hex(4)}")


def _clear_leftovers(target: Path) -> None:
    """What a killed process left: half-written folders go; a model that was set aside comes back if none stands there.

    The lock on `target` is held, so nobody is at work on them.
    """
    ours = re.compile(rf"\.{re.escape(target.name)}\.(partial|old)-[0-9a-f]{{8}}")
    for path in sorted(target.parent.iterdir()):
        found = ours.fullmatch(path.name)
        if found and found[1] == "old" and not target.exists():
            path.rename(target)
        elif found:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _parents_of(target: Path) -> Iterator[None]:
    """The folders above `target`, made where they are missing; those go again after an error."""
    missing = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # somebody else has put something there: it stays
                folder.rmdir()
        raise
