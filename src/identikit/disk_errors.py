"""The system's errors while writing, as one line that names the path, the cause and the fix."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identikit.errors import SaveError


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's errors while writing `path` into a SaveError that names the fix."""
    try:
        yield
    except OSError as cause:
        raise SaveError(_explanation(path, cause)) from cause


def _explanation(path: Path, cause: OSError) -> str:
    folder = path.parent
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"cannot write {path}: the disk is full. Free some space, or write to another disk; nothing was replaced."
        )
    if cause.errno in (errno.EACCES, errno.EPERM):
        return f"cannot write {path}: no permission to write in {folder}. Choose a folder of your own."
    if cause.errno == errno.EROFS:
        return f"cannot write {path}: {folder} is on a read-only disk. Choose another folder."
    if cause.errno == errno.ENOENT:
        return f'cannot write {path}: the folder {folder} does not exist. Make it: mkdir -p "{folder}"'
    if cause.errno == errno.ENOTDIR:
        return f"cannot write {path}: {folder} is a file, not a folder. Choose another name."
    if cause.errno == errno.ENAMETOOLONG:
        return f"cannot write {str(path)[:60]}...: the name is too long. Choose a shorter one."
    return f"cannot write {path}: {cause.strerror or cause}."


def still_aside(path: Path, place: Path, cause: OSError) -> SaveError:
    """The error for what could not be put back to `path` when something went wrong: it is not lost."""
    return SaveError(f"{_explanation(path, cause)} What stood there lies in {place}; the next run puts it back first.")
