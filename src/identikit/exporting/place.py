"""A file, with what lies beside it, that appears whole or not at all: made in a hidden folder, proved, then renamed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identikit.disk_errors import explained, still_aside
from identikit.errors import SaveError
from identikit.files import check_writable, flush_all, flush_folder
from identikit.locks import locked

_GOING, _GONE = "old", "old.whole"  # where in the hidden folder lie some of the files that are replaced, then all
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
            if not _set_aside(partial, target):  # what is not in its place again stays for the next run to put there
                shutil.rmtree(partial, ignore_errors=True)


def _move(partial: Path, target: Path) -> None:
    """The new files in the place of the old ones, which come back if a renaming fails; the graph itself comes last."""
    new = sorted(partial.iterdir(), key=lambda file: file.name == target.name)
    if len(new) == 1 and not _weights_of(target).exists():
        new[0].replace(target)  # at one stroke
        flush_folder(target.parent)
        return
    try:
        (partial / _GOING).mkdir()
        for file in (target, _weights_of(target)):
            if file.exists():
                file.rename(partial / _GOING / file.name)
        (partial / _GOING).rename(partial / _GONE)
        for file in new:
            file.rename(target.with_name(file.name))
    except BaseException:
        try:
            _bring_back(partial, target)
        except OSError as cause:
            raise still_aside(target, partial, cause) from cause
        raise
    shutil.rmtree(partial / _GONE, ignore_errors=True)
    flush_folder(target.parent)


def _set_aside(partial: Path, target: Path) -> bool:
    """Whether old files are still in the hidden folder, and the new graph too."""
    return (partial / target.name).exists() and any(any((partial / each).glob("*")) for each in (_GOING, _GONE))


def _bring_back(partial: Path, target: Path) -> None:
    """The old files in their place again, where the new graph had not come to stand there yet; the graph comes last.

    By what lies where: so it works, too, for what a killed process left behind.
    """
    if target.exists():
        return
    weights = _weights_of(target)
    if (partial / _GONE).exists() and not (partial / weights.name).exists():
        weights.unlink(missing_ok=True)  # the new ones: all old files had been set aside
    for old in (partial / _GOING, partial / _GONE):
        for name in (weights.name, target.name):
            if (old / name).exists():
                (old / name).rename(target.with_name(name))


def _weights_of(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)
