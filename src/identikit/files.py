"""Files that are whole or not there: written beside, then renamed, and on the disk when that is said."""

from __future__ import annotations

import ctypes
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from identikit.disk_errors import explained
from identikit.errors import SaveError
from identikit.locks import claimed

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8; `path` holds the old content until the new file is whole. Raises SaveError.

    Half a character (of a file name that is no text) becomes "?": UTF-8 has none.
    """
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content`; `path` holds the old content until the new file is whole. Raises SaveError."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends. If it fails, `path` is as it was.

    For a block that does nothing but write: every error of the system in it is explained as one of writing `path`.
    A link is followed. What is no regular file (`/dev/stdout`, a pipe) is written to directly. What a killed writer of
    the same file left beside it is cleared away. Raises SaveError.
    """
    shown, target = Path(path), Path(os.path.realpath(path))
    with explained(shown):
        if target.exists() and not target.is_file() and not target.is_dir():
            with open(target, "wb") as device:
                yield device
            return
        if target.is_dir():
            raise SaveError(f"{shown} is a folder; name a file inside it, such as {shown / 'result'}.")
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        file = _beside(target)
        beside = Path(file.name)
        try:
            with file:
                if mode is not None:
                    os.chmod(beside, mode)
                yield file
                flush(file)
                if sys.platform != "win32":  # there an open file cannot be renamed
                    os.replace(beside, target)
            if sys.platform == "win32":
                os.replace(beside, target)
        except BaseException:
            with suppress(OSError):  # what went wrong before is told, not this
                beside.unlink(missing_ok=True)
            raise
        flush_folder(target.parent)


def flush(file: BinaryIO) -> None:
    """Hand everything written to the disk: a loss of power after this loses none of it."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make a renaming in `folder` last through a loss of power. (Windows offers no such call and needs none.)"""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchanged(one: Path, other: Path) -> bool:
    """Let two paths change places at one stroke; False where this system cannot (only Linux can)."""
    call = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        return False
    done: int = call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return done == 0


def flush_all(folder: Path) -> None:
    """Hand all that lies in `folder` to the disk: files that a library wrote are not there yet when it returns."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            flush_folder(path)
        elif path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def check_writable(path: str | Path) -> None:
    """Raise SaveError now where `path` could not be written later: before minutes of work, not after them."""
    target = Path(os.path.realpath(path))
    with explained(Path(path)):
        if target.is_dir():
            raise SaveError(f"{path} is a folder; name a file inside it, such as {Path(path) / 'result'}.")
        if target.exists() and not target.is_file():
            return
        probe = _hidden(target)
        with open(probe, "xb"):
            probe.unlink(missing_ok=True)


def refuse_link(path: Path) -> None:
    """Raise SaveError for a link under a name that nobody gave but identikit made: it would write somewhere else."""
    if path.is_symlink():
        raise SaveError(f"{path} is a link, and this file is identikit's own. Delete it, and go on.")


def _hidden(target: Path) -> Path:
    """A new hidden name beside `target`; files under such names that nobody holds any more are cleared away."""
    ours = re.compile(rf"\.{re.escape(target.name[:100])}\.[0-9a-f]{{8}}\.part")
    if sys.platform != "win32":
        with suppress(OSError):  # a folder that may not be looked into can still be written to
            for each in os.scandir(target.parent):
                if ours.fullmatch(each.name) and each.is_file(follow_symlinks=False):
                    _clear(target.with_name(each.name))
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")


def _clear(left: Path) -> None:
    """Remove what a writer left that is gone; whoever still writes holds a lock on his file."""
    with open(left, "rb") as file:
        if claimed(file, left):
            left.unlink(missing_ok=True)


def _beside(target: Path) -> BinaryIO:
    """A new hidden file beside `target`, ours as long as it is open."""
    while True:
        path = _hidden(target)
        file = open(path, "xb")  # noqa: SIM115 (the caller closes it)
        if sys.platform == "win32" or claimed(file, path):
            return file
        file.close()  # somebody who clears up was quicker by a hair


class Lines:
    """A file that grows by whole lines: one that could not be written whole is cut off again, at the latest before the
    next one. Unbuffered, so that a refused write leaves nothing behind that is written later."""

    def __init__(self, path: Path, *, whole: int | None = None) -> None:
        """Open `path` to add to its first `whole` bytes (to all of it where None). Raises SaveError."""
        self.path = path
        with explained(path):
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (closed by close)
            self._end = os.fstat(self._file.fileno()).st_size if whole is None else whole
            self._cut()

    def add(self, line: bytes, *, sync: bool) -> None:
        """Add a line; with `sync` it is on the disk when this returns. After a SaveError the file is as before."""
        with explained(self.path):
            self._cut()
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
                if sync:
                    os.fsync(self._file.fileno())
            except BaseException:
                with suppress(OSError):  # cut off before the next line then, and readers leave out half a line
                    self._cut()
                raise
            self._end += len(line)

    def keep(self, size: int) -> None:
        """Cut off all behind the first `size` bytes."""
        with explained(self.path):
            self._end = size
            self._cut()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cut(self) -> None:
        if os.fstat(self._file.fileno()).st_size > self._end:
            self._file.truncate(self._end)


class Unfailing(io.RawIOBase):
    """A file for a writer in C++ that ends the whole process where a write fails: it takes everything, and says so.

    torch's own archives are written so. `settle()` raises what went wrong.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failure: BaseException | None = None

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """torch asks, and goes back to the start when it is done."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Stay: nothing is read here, and nothing written behind what is written."""
        return offset

    def write(self, content: Any, /) -> int:
        """Write, or remember what stood in the way."""
        if self._failure is None:
            try:
                self._file.write(content)
            except BaseException as failure:  # an interrupt too: nothing may be raised into C++
                self._failure = failure
        return len(content)

    def settle(self) -> None:
        """Raise what went wrong while writing."""
        if self._failure is not None:
            raise self._failure
