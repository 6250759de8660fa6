"""Faults on purpose: every step by which a verb changes the disk is counted, and from a chosen one on it fails.

A step is one call that changes what lies below a folder: opening for writing, a write, a sync, a renaming, a removal, a
new folder. Python's own calls are patched where they are made, and the writers of safetensors and torch, which write by
themselves, at their door. A write that fails has written half of what it was given.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import safetensors.torch
from safetensors import SafetensorError

from identikit.saving import folder

Kind = Literal["full", "denied", "readonly", "broken", "killed", "interrupted", "interrupted after"]
KINDS: tuple[Kind, ...] = ("full", "denied", "readonly", "broken", "killed", "interrupted", "interrupted after")
#: Whom the process leaves time for nothing: the disk stays as it is.
_STOPS = ("killed",)
_ERRORS = {"full": errno.ENOSPC, "denied": errno.EACCES, "readonly": errno.EROFS, "broken": errno.EIO}
#: What needs no room, so that it still works on a full disk; what needs no permission, for the file is open.
_SPARED = {"full": ("unlink", "rmdir", "rename", "replace"), "denied": ("write", "fsync", "ftruncate", "sendfile")}
_ONE_PATH = ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate", "utime")
_TWO_PATHS = ("rename", "replace", "link", "symlink")
_DESCRIPTOR = ("write", "fsync", "ftruncate", "sendfile")


class Killed(BaseException):  # no error: nobody may catch it
    """The process ends here. What its `finally` clauses do to the disk afterwards is not done."""


@dataclass
class Disk:
    """What lies below `root`, the steps that changed it, and where it fails: `kind` at step `at`, counted from 1.

    A full disk, lost rights and a read-only one stay so; a broken step and an interrupt happen once.
    """

    root: Path
    kind: Kind | None = None
    at: int = 0
    steps: list[str] = field(default_factory=list)
    fired: bool = False
    _own: bool = False

    def step(self, what: str, path: str, do: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """One step: `do()`, unless it is to fail; then `half()` is what was done of it."""
        if self.fired and self.kind in _STOPS:
            raise Killed
        self.steps.append(f"{what} {os.path.relpath(path, self.root)}")
        if not self._due(what):
            return do()
        self.fired = True
        if self.kind == "interrupted after":
            _let_go(do())
        elif half is not None:
            half()
        return self.stop(path)

    def stop(self, path: str) -> Any:
        """Raise what the fault is."""
        if self.kind in _STOPS:
            raise Killed
        if self.kind is not None and self.kind.startswith("interrupted"):
            raise KeyboardInterrupt
        number = _ERRORS[str(self.kind)]
        raise OSError(number, os.strerror(number), path)

    def _due(self, what: str) -> bool:
        if self.kind is None or what in _SPARED.get(self.kind, ()):
            return False
        if self.kind in ("full", "denied", "readonly"):
            return len(self.steps) >= self.at
        return len(self.steps) == self.at and not self.fired

    def holds(self, path: str) -> bool:
        """Whether a path lies below the folder that is watched."""
        return os.path.abspath(path).startswith(f"{self.root}{os.sep}")


def _let_go(made: Any) -> None:
    """Close what was opened and never came to stand in a variable, as the interpreter would."""
    if isinstance(made, io.IOBase):
        made.close()


@contextmanager
def watched(root: Path, kind: Kind | None = None, at: int = 0) -> Iterator[Disk]:
    """Count the steps below `root` inside the block, and let the disk fail as `kind` at step `at`."""
    disk = Disk(Path(os.path.realpath(root)), kind, at)
    with ExitStack() as patched:
        for name in (*_ONE_PATH, *_TWO_PATHS):
            patched.enter_context(mock.patch.object(os, name, _on_path(disk, name, getattr(os, name))))
        for name in _DESCRIPTOR:
            patched.enter_context(mock.patch.object(os, name, _on_descriptor(disk, name, getattr(os, name))))
        patched.enter_context(mock.patch.object(os, "open", _descriptors(disk, os.open)))
        opening = _opening(disk, builtins.open)
        patched.enter_context(mock.patch.object(builtins, "open", opening))
        patched.enter_context(mock.patch.object(io, "open", opening))
        patched.enter_context(mock.patch.object(folder, "exchanged", _exchanging(disk, folder.exchanged)))
        own = safetensors.torch.serialize_file
        patched.enter_context(mock.patch.object(safetensors.torch, "serialize_file", _serializing(disk, own)))
        yield disk


def _on_path(disk: Disk, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: Any, *args: Any, **kwargs: Any) -> Any:
        where = _full(path, kwargs.get("dir_fd"))
        told = args[0] if name in _TWO_PATHS and args else where
        if not (disk.holds(where) or (name in _TWO_PATHS and disk.holds(os.fspath(told)))):
            return own(path, *args, **kwargs)
        return disk.step(name, where, lambda: own(path, *args, **kwargs))

    return call


def _on_descriptor(disk: Disk, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    def call(descriptor: Any, *args: Any, **kwargs: Any) -> Any:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        where = _of(number)
        if not disk.holds(where):
            return own(descriptor, *args, **kwargs)
        return disk.step(name, where, lambda: own(descriptor, *args, **kwargs))

    return call


def _descriptors(disk: Disk, own: Callable[..., int]) -> Callable[..., int]:
    def call(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        where = _full(path, kwargs.get("dir_fd"))
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or not disk.holds(where):
            return own(path, flags, *args, **kwargs)
        number: int = disk.step("open", where, lambda: own(path, flags, *args, **kwargs))
        return number

    return call


class _File(io.FileIO):
    """A file whose every write is a step."""

    disk: Disk

    def write(self, content: Any) -> int:
        disk, own = self.disk, super().write
        if disk.fired and disk.kind in _STOPS:
            return memoryview(content).nbytes  # a buffer that is emptied by a process that is gone
        half = memoryview(content).cast("B")[: memoryview(content).nbytes // 2]
        written: int = disk.step("write", str(self.name), lambda: own(content), lambda: own(half))
        return written

    def truncate(self, size: int | None = None) -> int:
        own = super().truncate
        done: int = self.disk.step("ftruncate", str(self.name), lambda: own(size))
        return done


def _opening(disk: Disk, own: Callable[..., Any]) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        plain = isinstance(file, int) or not set(mode) & set("wxa+") or kwargs.get("opener") is not None
        if plain or not disk.holds(os.fspath(file)):
            return own(file, mode, buffering, *args, **kwargs)
        raw = disk.step("open", os.fspath(file), lambda: _File(file, mode.replace("b", "").replace("t", "")))
        raw.disk = disk
        if buffering == 0:
            return raw
        opened = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return opened if "b" in mode else io.TextIOWrapper(opened, *args, **kwargs)

    return call


def _exchanging(disk: Disk, own: Callable[..., bool]) -> Callable[..., bool]:
    def call(one: Path, other: Path) -> bool:
        done: bool = disk.step("rename", str(one), lambda: own(one, other))
        return done

    return call


def _serializing(disk: Disk, own: Callable[..., Any]) -> Callable[..., Any]:
    """safetensors writes by itself, and wraps the system's error in a text."""

    def call(tensors: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
        where = os.fspath(filename)
        if not disk.holds(where):
            return own(tensors, filename, *args, **kwargs)

        def half() -> None:
            own(tensors, filename, *args, **kwargs)
            with io.FileIO(where, "r+") as file:
                file.truncate(os.stat(where).st_size // 2)

        try:
            return disk.step("serialize", where, lambda: own(tensors, filename, *args, **kwargs), half)
        except OSError as cause:
            said = f"Error while serializing: I/O error: {cause.strerror} (os error {cause.errno})"
            raise SafetensorError(said) from None

    return call


def _full(path: Any, folder: int | None) -> str:
    """The whole path of what is named within an open folder."""
    if isinstance(path, int):
        return _of(path)
    return os.path.join(_of(folder), os.fsdecode(path)) if folder is not None else os.path.abspath(os.fsdecode(path))


def _of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
