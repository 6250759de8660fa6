"""A file, with what lies beside it, that appears whole or not at all: made in a hidden folder, proved, then renamed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identikit.errors import SaveError
from identikit.files import check_writable, explained, locked

BESIDE = ".data"  # what the weights that lie beside a graph of more than 2 GB are called, after the graph's name


def check_place(path: Path, overwrite: bool) -> None:
    """Refuse a place that cannot take a new file, before any work is done. Raises SaveError."""
    check_writable(path)
    for each in (path, _weights_of(path)):
        if each.is_dir():
            raise SaveError(f"{each} is a folder; name a file inside it, such as {each / path.name}.")
        if each.exists() and not overwrite:
            raise SaveError(
                f"{each} exists already. Name another file, or replace it with --overwrite (overwrite=True)."
            )


@contextmanager
def proved_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """A path of the same name in a hidden folder beside `path`; all that lies there moves when the block ends.

    After an error nothing is left, and what stood at `path` stands there still. What a killed process left is cleared
    away first. Raises SaveError.
    """
    target = Path(os.path.realpath(path))
    check_place(path, overwrite)
    with explained(path), locked(target):
        for left in sorted(target.parent.iterdir()):
            if re.fullmatch(rf"\.{re.escape(target.name)}\.partial-[0-9a-f]{{8}}", left.name):
                shutil.rmtree(left, ignore_errors=True)
        partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
        partial.mkdir()
        try:
            yield partial / target.name
            _move(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _move(partial: Path, target: Path) -> None:
    """The new files in the place of the old ones, which come back if a renaming fails; the graph itself comes last."""
    new = sorted(partial.iterdir(), key=lambda file: file.name == target.name)
    old = partial / "old"
    old.mkdir()
    aside, moved = [], []
    try:
        for file in (target, _weights_of(target)):
            if file.exists():
                file.rename(old / file.name)
                aside.append(file)
        for file in new:
            file.rename(target.with_name(file.name))
            moved.append(target.with_name(file.name))
    except BaseException:
        for file in moved:
            file.unlink()
        for file in aside:
            (old / file.name).rename(file)
        raise


def _weights_of(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)
