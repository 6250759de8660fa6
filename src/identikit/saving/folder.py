"""A folder that appears whole or not at all: filled beside its place, then renamed; an old one stays until then."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from identikit.errors import SaveError
from identikit.files import explained

#: A folder with one of these is a model's, and may be replaced where the user says --overwrite.
_MODEL_FILES = ("config.json", "modules.json", "plan.json", "model.safetensors")


def check_place(folder: Path, overwrite: bool) -> None:
    """Refuse a place that cannot take a new folder, before any work is done. Raises SaveError."""
    if folder.exists() and not folder.is_dir():
        raise SaveError(f"{folder} is a file. Name a folder that does not exist yet.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise SaveError(
                f"{folder} exists already. Name another folder, or replace it with --overwrite (overwrite=True)."
            )
        if not any((folder / name).exists() for name in _MODEL_FILES):
            raise SaveError(
                f"{folder} holds no model, so it is not replaced. Name another folder, or empty it yourself."
            )


@contextmanager
def proved_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `folder` to fill and prove; it takes the place when the block ends without an error.

    After an error nothing is left of it and what stood at `folder` stands there still.
    """
    check_place(folder, overwrite)
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        with explained(folder):
            try:
                yield partial
            except SafetensorError as cause:  # it wraps the system's own error in a text
                raise OSError(errno.ENOSPC if "No space left" in str(cause) else 0, str(cause)) from cause
            _swap(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, folder: Path) -> None:
    """Put `partial` in the place of `folder`; the old one is deleted last, and comes back if the renaming fails."""
    partial.chmod(0o755)  # mkdtemp makes it private
    if not folder.exists():
        partial.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent)) / folder.name
    folder.rename(aside)
    try:
        partial.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    finally:
        if folder.exists():
            shutil.rmtree(aside.parent, ignore_errors=True)
