"""One writer at a time: the system's own lock, which ends with its process."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

from identikit.disk_errors import explained
from identikit.errors import SaveError

_ORPHANS = 8.0  # seconds: workers that a killed process leaves behind see it gone, and let go of its lock


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Be the only process (and the only writer in this one) at work on `path`. Raises SaveError where another is.

    The lock is the system's, on a hidden file beside `path` that names its holder: it ends with its process, `kill -9`
    included, so a lock file left behind stops nobody.
    """
    lock = lock_of(path)
    with explained(Path(path)):
        file = _take(lock, Path(path))
    with file:  # closing lets go of it
        try:
            yield
        finally:
            _clear(lock)


def lock_of(path: str | Path) -> Path:
    """The lock file of `path`: a name of our own, so that nobody's `poetry.lock` is taken for it."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name[:100]}.identikit-lock")


def claimed(file: IO[bytes], path: Path) -> bool:
    """Whether the system's lock on an open file was free, and it is still the one at `path`; it is ours then."""
    return _try(file.fileno()) and _same(file.fileno(), path)


def _take(lock: Path, path: Path) -> FileIO:
    patience = time.monotonic() + _ORPHANS
    while True:
        file = _opened(lock)
        try:
            if _try(file.fileno()):
                if _same(file.fileno(), lock):
                    _sign(file, lock)
                    return file
            else:
                holder = _holder(file.fileno())
                if _alive(holder) or time.monotonic() > patience:
                    who = f"process {holder}" if holder else "another process"
                    raise SaveError(f"{path} is being written by {who}. Wait for it to end, or write to another file.")
        except BaseException:
            file.close()
            raise
        file.close()
        time.sleep(0.02)


def _sign(file: FileIO, lock: Path) -> None:
    """Write into the lock file whose it is; where that cannot be, the file goes again."""
    try:
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())
    except BaseException:
        _clear(lock)
        raise


def _clear(lock: Path) -> None:
    if sys.platform != "win32":  # there an open file cannot be removed: it stays, and stops nobody
        with suppress(OSError):  # likewise where the right to remove it was lost meanwhile
            lock.unlink(missing_ok=True)


def _opened(lock: Path) -> FileIO:
    """The lock file, open. Raises SaveError for a link: whoever put it there would have us empty what it leads to."""
    try:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag
        return FileIO(os.open(lock, flags, 0o666), "r+")
    except OSError as cause:
        if cause.errno == errno.ELOOP:
            raise SaveError(f"{lock} is a link, and identikit's lock must be a file. Delete it, and go on.") from cause
        raise


def _try(descriptor: int) -> bool:
    """Whether the system's lock was free; it is ours then."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 2**20, os.SEEK_SET)  # far behind the text, which others may then read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(descriptor: int, lock: Path) -> bool:
    """Whether the file that we locked is still the one of that name: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(lock))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 20, 0) if sys.platform != "win32" else os.read(descriptor, 20)
    return int(text) if text.strip().isdigit() else None


def _alive(process: int | None) -> bool:
    """Whether `process` runs on this machine. One that is gone may have left workers that still hold its lock."""
    if process is None:
        return False
    if sys.platform == "win32":
        return True  # asking there (os.kill) would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
