"""A healing on disk: one file, whole or not there, that a run which was cut short goes on from."""

from __future__ import annotations

import pickle
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from identikit.errors import ResultError, SaveError
from identikit.files import Unfailing, check_writable, replacing
from identikit.locks import locked

FORMAT = "identikit.healing.1"
State = dict[str, Any]
_DAMAGE = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class Checkpoint:
    """Where a healing is written every `every` seconds; nowhere without a path, and by the first process alone.

    `about` says what is healed, by whom, on what and how; `state` is what an earlier run had reached, or None.
    """

    def __init__(
        self, path: Path | None, about: Mapping[str, Any], *, every: float, resume: bool, writes: bool
    ) -> None:
        self._path, self._about, self._every, self._writes = path, dict(about), every, writes
        self._last = time.monotonic()
        self.state = self._read(path) if path is not None and resume and path.exists() else None

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._path is not None and self._writes and time.monotonic() - self._last >= self._every

    def write(self, state: State) -> None:
        """Put `state` in the place of what was there; when this returns it is on the disk. Raises SaveError."""
        if self._path is None or not self._writes:
            return
        with replacing(self._path) as file:
            whole: Any = Unfailing(file)
            torch.save({"format": FORMAT, "about": self._about, "state": state}, whole)
            whole.settle()
        self._last = time.monotonic()

    def _read(self, path: Path) -> State:
        """What the file holds. Raises ResultError where it is damaged, or another healing's (naming the difference)."""
        anew = "start anew by --overwrite (overwrite=True)"
        try:
            with zipfile.ZipFile(path) as archive:  # torch.load does not look at its checksums
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile
            found = torch.load(path, map_location="cpu", weights_only=True)
        except (PermissionError, IsADirectoryError) as cause:
            told = f"cannot read {path}: {cause.strerror or cause}. Name another file, or {anew}."
            raise ResultError(told) from cause
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, *_DAMAGE) as cause:
            raise ResultError(f"{path} is damaged, or no healing. Name another file, or {anew}.") from cause
        if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("about"), dict):
            raise ResultError(f"{path} is no healing. Name another file, or {anew}.")
        theirs = found["about"]
        other = next((name for name in self._about if theirs.get(name) != self._about[name]), None)
        if other is not None:
            was, now = theirs.get(other), self._about[other]
            raise ResultError(
                f"{path} belongs to another healing; it differs in {other}: {was} there, {now} here. "
                f"Give what it was begun with, or {anew}."
            )
        state: State = found["state"]
        return state


def check_place(path: Path | None, *, resume: bool, overwrite: bool) -> None:
    """Raise SaveError for a file that cannot be written, or holds a healing that nobody says what to do with."""
    if path is None:
        return
    check_writable(path)
    if path.exists() and not (resume or overwrite):
        raise SaveError(
            f"{path} holds a healing already. Go on with it by --resume (resume=True), or start anew by --overwrite "
            "(overwrite=True)."
        )


@contextmanager
def reserved(path: Path | None, writes: bool) -> Iterator[None]:
    """Be the only one that writes `path`."""
    if path is None or not writes:
        yield
        return
    with locked(path):
        yield
