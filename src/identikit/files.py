"""Files that are whole or not there: write beside, then rename; one writer at a time; errors that name the fix."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from identikit.errors import SaveError

_ORPHANS = 8.0  # seconds: workers that a killed process leaves behind see it gone, and let go of its lock


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
    A link is followed. What is no regular file (`/dev/stdout`, a pipe) is written to directly. Raises SaveError.
    """
    shown, target = Path(path), Path(os.path.realpath(path))
    with explained(shown):
        if target.exists() and not target.is_file() and not target.is_dir():
            with open(target, "wb") as file:
                yield file
            return
        if target.is_dir():
            raise SaveError(f"{shown} is a folder; name a file inside it, such as {shown / 'result'}.")
        beside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        try:
            with open(beside, "xb") as file:
                if mode is not None:
                    os.chmod(beside, mode)
                yield file
                flush(file)
            os.replace(beside, target)
        except BaseException:
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


def check_writable(path: str | Path) -> None:
    """Raise SaveError now where `path` could not be written later: before minutes of work, not after them."""
    target = Path(os.path.realpath(path))
    with explained(Path(path)):
        if target.is_dir():
            raise SaveError(f"{path} is a folder; name a file inside it, such as {Path(path) / 'result'}.")
        if target.exists() and not target.is_file():
            return
        probe = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
        with open(probe, "xb"):
            probe.unlink()


def refuse_link(path: Path) -> None:
    """Raise SaveError for a link under a name that nobody gave but identikit made: it would write somewhere else."""
    if path.is_symlink():
        raise SaveError(f"{path} is a link, and this file is identikit's own. Delete it, and go on.")


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


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Be the only process (and the only writer in this one) at work on `path`. Raises SaveError where another is.

    The lock is the system's, on a hidden file beside `path` that names its holder: it ends with its process, `kill -9`
    included, so a lock file left behind stops nobody.
    """
    lock = lock_of(path)
    with explained(Path(path)):
        descriptor = _take(lock, Path(path))
    try:
        yield
    finally:
        if sys.platform != "win32":  # there an open file cannot be removed: it stays, and stops nobody
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def lock_of(path: str | Path) -> Path:
    """The lock file of `path`: a name of our own, so that nobody's `poetry.lock` is taken for it."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name[:100]}.identikit-lock")


def _take(lock: Path, path: Path) -> int:
    patience = time.monotonic() + _ORPHANS
    while True:
        descriptor = _opened(lock)
        try:
            if _try(descriptor):
                if _same(descriptor, lock):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                    return descriptor
            else:
                holder = _holder(descriptor)
                if _alive(holder) or time.monotonic() > patience:
                    who = f"process {holder}" if holder else "another process"
                    raise SaveError(f"{path} is being written by {who}. Wait for it to end, or write to another file.")
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.02)


def _opened(lock: Path) -> int:
    """The lock file, open. Raises SaveError for a link: whoever put it there would have us empty what it leads to."""
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)  # Windows has no such flag
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
