"""A scan on disk: JSON Lines, a header and then a row a line; a killed writer loses at most the line it was writing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from identikit import strict_json
from identikit.errors import ResultError, SaveError
from identikit.files import Lines, write_bytes
from identikit.locks import locked
from identikit.results.fields import check_format, listed
from identikit.results.header import Header
from identikit.results.row import Row

FORMAT = "identikit.scan"
VERSION = 1
LONGEST_LINE = 32 * 2**20  # bytes; a header with 100,000 sites has about 15 MB
LARGEST_FILE = 2**30
MOST_ROWS = 1_000_000


def lines_of(header: Header, rows: tuple[Row, ...]) -> bytes:
    """The whole file."""
    top = {"format": FORMAT, "version": VERSION} | header.to_json()
    return b"".join(_line(value) for value in (top, *(row.to_json() for row in rows)))


def read(path: Path) -> tuple[Header, list[Row], int]:
    """The header, the rows, and how many bytes of the file are whole lines.

    A last line without its newline is one that was being written when the writer was killed: it is left out, and
    the count says where it starts. Any other damage is a ResultError that names the line and the fix.
    """
    try:
        if not path.is_file() and path.exists():
            raise ResultError(f"{path} is no scan file: it is a folder or a device.")
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ResultError(
                f"{path} is no scan file: {size:,} bytes, more than the {LARGEST_FILE:,} that one may have."
            )
        with path.open("rb") as file:
            return _read(file, path)
    except OSError as cause:
        raise ResultError(f"cannot read the scan file {path}: {cause.strerror or cause}.") from cause


def _read(file: BinaryIO, path: Path) -> tuple[Header, list[Row], int]:
    header: Header | None = None
    rows: list[Row] = []
    seen: dict[Any, int] = {}
    whole = number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        what = f"scan file {path}, line {number}"
        if len(line) > LONGEST_LINE:
            raise ResultError(
                f"{what} has more than {LONGEST_LINE:,} bytes; no line of a scan has. This is no scan file."
            )
        if not line.endswith(b"\n"):
            break
        if number > MOST_ROWS + 1:
            raise ResultError(f"{what}: a scan has at most {MOST_ROWS:,} rows.")
        value = _parse(line, what, path, number)
        if header is None:
            header = _read_header(value, f"scan file {path}")
        else:
            row = _read_row(value, what, header)
            if row.key in seen:
                raise ResultError(f"{what} measures the same as line {seen[row.key]}. Delete one of the two lines.")
            seen[row.key] = number
            rows.append(row)
        whole += len(line)
    if header is None:
        raise ResultError(f"{path} is no scan file: it has no whole line. Delete it and scan again.")
    return header, rows, whole


def _parse(line: bytes, what: str, path: Path, number: int) -> Any:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise ResultError(f"{what} is damaged: it is not UTF-8 text.{_fix(path, number)}") from cause
    try:
        return strict_json.parse(text, what, ResultError)
    except ResultError as cause:
        raise ResultError(f"{cause}{_fix(path, number)}") from cause


def _fix(path: Path, number: int) -> str:
    if number == 1:
        return " Name a file that a scan wrote, or scan again: without its first line it is lost."
    return f" Delete that line and go on with --resume: sed -i {number}d {shlex.quote(str(path))}"


def _read_header(value: Any, what: str) -> Header:
    rest = check_format(value, FORMAT, VERSION, what)
    return Header.from_json(rest, f"{what}, line 1")


def _read_row(value: Any, what: str, header: Header) -> Row:
    row = Row.from_json(value, what)
    if row.metric not in header.metrics:
        raise ResultError(f'{what}: "{row.metric[:60]}" is none of the header\'s metrics: {listed(header.metrics)}.')
    return row


class Journal:
    """A scan file open for adding rows, locked against other writers. Close it, or leave its `with` block."""

    def __init__(self, lines: Lines, lock: ExitStack) -> None:
        self._lines, self._lock = lines, lock

    @classmethod
    def create(cls, path: Path, header: Header, *, overwrite: bool = False) -> Journal:
        """Start a new file. Raises SaveError where it exists (unless `overwrite`) or cannot be written."""
        with ExitStack() as lock:
            lock.enter_context(locked(path))
            if path.exists() and not overwrite:
                raise SaveError(
                    f"{path} exists. Go on with it by --resume, replace it by --overwrite, or choose another name."
                )
            write_bytes(path, lines_of(header, ()))
            return cls(Lines(path), lock.pop_all())

    @classmethod
    def go_on(cls, path: Path, *, check: Callable[[Header], None]) -> tuple[Journal, Header, list[Row]]:
        """Open a file to add rows, cutting off a last line that was never finished; `check` may refuse it first."""
        with ExitStack() as lock:
            lock.enter_context(locked(path))
            header, rows, whole = read(path)
            check(header)
            return cls(Lines(path, whole=whole), lock.pop_all()), header, rows

    def append(self, row: Row) -> None:
        """Add a row; when this returns it is on the disk. On a SaveError the file holds the rows before it."""
        self._lines.add(_line(row.to_json()), sync=True)

    def close(self) -> None:
        """Close the file and let go of the lock."""
        try:
            self._lines.close()
        finally:
            self._lock.close()


def _line(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    return text.encode("utf-8", "replace") + b"\n"  # half a character of a file name that is no text
