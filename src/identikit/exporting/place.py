"""A file, with what lies beside it, that appears whole or not at all: made in a hidden folder, proved, then renamed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identikit.disk_errors import explained
from identikit.errors import SaveError
from identikit.files import check_writable, flush_all, flush_folder
from identikit.locks import locked

_OLD = "old"  # where in the hidden folder the files lie that are replaced
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
                _bring_back(left, target)
                shutil.rmtree(left, ignore_errors=True)
        partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
        partial.mkdir()
        try:
            yield partial / target.name
            flush_all(partial)
            _move(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _move(partial: Path, target: Path) -> None:
    """The new files in the place of the old ones, which come back if a renaming fails; the graph itself comes last."""
    old = partial / _OLD
    old.mkdir()
    try:
        for file in (_weights_of(target), target):
            if file.exists():
                file.rename(old / file.name)
        for new in sorted(partial.iterdir(), key=lambda file: file.name == target.name):
            if new != old:
                new.rename(target.with_name(new.name))
    except BaseException:
        _bring_back(partial, target)
        raise
    flush_folder(target.parent)


def _bring_back(partial: Path, target: Path) -> None:
    """The old files in their place again, where the new graph had not come to stand there yet.

    By what lies where: so it works, too, for what a killed process left behind.
    """
    old = partial / _OLD
    if not old.is_dir() or (target.exists() and not (partial / target.name).exists()):
        return
    weights = _weights_of(target)
    if not target.exists() and weights.exists() and not (partial / weights.name).exists():
        weights.unlink()  # the new ones: old ones are set aside before their graph is
    for file in old.iterdir():
        file.replace(target.with_name(file.name))


def _weights_of(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)
