"""Reading a result file without knowing which kind it is."""

from __future__ import annotations

from pathlib import Path

from identikit.errors import ResultError
from identikit.results import front, journal
from identikit.results.front import Front
from identikit.results.scan import ScanResult

_ENOUGH = 4096  # bytes: the format stands first in every file that identikit writes


def read_result(path: str | Path) -> ScanResult | Front:
    """The scan or the front in the file `path`. Raises ResultError where it is neither, or damaged."""
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            raise ResultError(f"{path} is a folder or a device. Name the result file in it, such as scan.jsonl.")
        with target.open("rb") as file:
            head = file.read(_ENOUGH)
    except OSError as cause:
        raise ResultError(f"cannot read the result file {path}: {cause.strerror or cause}.") from cause
    if f'"{front.FORMAT}"'.encode() in head:
        return Front.read(target)
    if f'"{journal.FORMAT}"'.encode() in head:
        return ScanResult.read(target)
    raise ResultError(f"{path} is neither a scan nor a front: what `identikit scan --to` wrote is expected here.")
