"""What a scan has measured before its rows can be written: values by batch, in a file beside the result.

A row is of all examples, so it can only be written at the end. Until then `NAME.part` holds each plan's values on each
batch, a line each; a line that was never finished is left out. It goes once the rows are on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from identikit import strict_json
from identikit.batches import nth
from identikit.crews.crew import Values
from identikit.disk_errors import explained
from identikit.errors import ResultError, SaveError
from identikit.files import Lines, refuse_link
from identikit.locks import locked
from identikit.results.fields import Fields, check_number, said

FORMAT = "identikit.part"
LONGEST_LINE = 2**28  # bytes; a line holds the values of one batch
_KEYS = ("batch", "data", "plan", "values")
_ANEW = "Start anew by --overwrite."


class Part:
    """The values that are known so far, and the file that grows with them."""

    def __init__(self, path: Path | None, run: dict[str, Any], lock: Path | None = None) -> None:
        """`run` says what is measured: a file of another run is refused. Without a path nothing is kept.

        `lock`: what is locked, so that nobody else writes this result, under whichever name it grows.
        """
        self.known: dict[tuple[int, str], tuple[str, Values]] = {}
        self.scores: dict[str, float] = {}
        self._path, self._locked = path, lock or path
        self._run = json.loads(json.dumps(run))
        self._head = _line({"format": FORMAT, "version": 1, "run": self._run})
        self._held = ExitStack()
        self._lines: Lines | None = None

    def open(self, *, resume: bool, overwrite: bool) -> None:
        """Go on with a file, or start anew. SaveError for one that would be lost, ResultError for another run's."""
        if self._path is None or self._locked is None:
            return
        self._held.enter_context(locked(self._locked))
        refuse_link(self._path)
        if self._path.exists() and not (resume or overwrite):
            raise SaveError(
                f"{self._path} holds a scan that was cut short. Go on with it by --resume, or start anew by "
                "--overwrite."
            )
        whole = self._whole(self._path) if resume and self._path.exists() else 0
        self._lines = Lines(self._path, whole=whole)
        if not whole:
            self._lines.add(self._head, sync=False)

    @property
    def kept(self) -> bool:
        """Whether values are written to a file."""
        return self._lines is not None

    def value(
        self, number: int, plan: str, fingerprint: str, *, examples: int | None = None, of: Collection[str] = ()
    ) -> Values | None:
        """The values of `plan` on batch `number`; None where they are not known.

        `examples`: how many the batch has, and `of`: the metrics. ResultError for another batch, and for values of
        another count or of other metrics.
        """
        found = self.known.get((number, plan))
        if found is None:
            return None
        if found[0] != fingerprint:
            other = f"measured on other data: the {nth(number)} batch differs"
            raise ResultError(f"{self._path} was {other}. Use --overwrite.")
        if (of and set(found[1]) != set(of)) or (examples is not None and _counts(found[1]) - {examples}):
            wrong = f"its values of the {nth(number)} batch are not of that batch"
            raise ResultError(f"{self._path} is damaged: {wrong}. {_ANEW}")
        return found[1]

    def holds(self, plan: str) -> bool:
        """Whether values of `plan` are known."""
        return any(name == plan for _, name in self.known)

    def note(self, number: int, plan: str, fingerprint: str, values: Values) -> None:
        """Keep the values of `plan` on batch `number`."""
        if self._lines is None:
            return
        lists = {name: rows.tolist() for name, rows in values.items()}
        self._lines.add(_line({"batch": number, "data": fingerprint, "plan": plan, "values": lists}), sync=False)
        self.known[number, plan] = (fingerprint, values)

    def note_score(self, name: str, value: float) -> None:
        """Keep what a whole-model score said of the full model, until there is a header to hold it."""
        if self._lines is not None:
            self._lines.add(_line({"score": name, "value": value}), sync=False)
            self.scores[name] = value

    def clear(self) -> None:
        """The header and the rows are written: what was kept for them goes."""
        self.known.clear()
        self.scores.clear()
        if self._lines is not None:
            self._lines.keep(len(self._head))

    def close(self, *, done: bool) -> None:
        """Close the file; with `done`, or where it holds nothing, it goes."""
        lines, self._lines = self._lines, None
        with self._held:
            if lines is None:
                return
            lines.close()
            if done or not (self.known or self.scores):
                with explained(lines.path):
                    lines.path.unlink(missing_ok=True)

    def _whole(self, path: Path) -> int:
        """Read what is there, and return how many bytes are whole lines. Raises ResultError."""
        try:
            return self._read(path)
        except OSError as cause:
            raise ResultError(f"cannot read {path}: {cause.strerror or cause}. {_ANEW}") from cause

    def _read(self, path: Path) -> int:
        """Read the whole lines, and return how many bytes they are."""
        whole = 0
        number = 0
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                what = f"{path}, line {number}"
                if len(line) > LONGEST_LINE:
                    raise ResultError(f"{what} has more than {LONGEST_LINE:,} bytes. {_ANEW}")
                if not line.endswith(b"\n"):
                    break
                value = strict_json.parse(line.decode("utf-8", "replace"), what, ResultError)
                if number == 1:
                    self._check(value, path)
                else:
                    self._take(value, what)
                whole += len(line)
        return whole

    def _check(self, value: Any, path: Path) -> None:
        found = value.get("run") if isinstance(value, dict) and value.get("format") == FORMAT else None
        if found == self._run:
            return
        run = found if isinstance(found, dict) else {}
        names = [f"{name}: {said(run.get(name))} and {own}" for name, own in self._run.items() if run.get(name) != own]
        raise ResultError(
            f"{path} belongs to another scan; it differs in {'; '.join(names)} (the file's first). Scan to another "
            "file, or use --overwrite."
        )

    def _take(self, value: Any, what: str) -> None:
        try:
            if isinstance(value, dict) and "score" in value:
                fields = Fields(value, what, known=("score", "value"), needed=("value",))
                self.scores[fields.name("score")] = fields.number("value")
                return
            fields = Fields(value, what, known=_KEYS, needed=_KEYS)
            rows = fields.object("values", 1_000)
            found = {name: _array(item, f'{what}: "{name}"') for name, item in rows.items()}
            self.known[fields.count("batch"), fields.text("plan")] = (fields.text("data"), found)
        except ResultError as cause:
            raise ResultError(f"{cause} {_ANEW}") from cause


def _array(value: Any, what: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A number or a few for each example; ResultError for anything else."""
    rows = value if isinstance(value, list) else None
    width = None if not rows or not isinstance(rows[0], list) else len(rows[0])
    if rows is None or any((len(row) if isinstance(row, list) else None) != width for row in rows):
        raise ResultError(f"{what} must be a list with a number for each example, or with as many for each.")
    for row in rows:
        for number in row if isinstance(row, list) else (row,):
            check_number(number, what)
    return np.array(rows, dtype=np.float64)


def _counts(values: Values) -> set[int]:
    return {len(rows) for rows in values.values()}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"
