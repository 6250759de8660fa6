"""What a scan has measured before its rows can be written: values by batch, in a file beside the result.

A row is of all examples, so it can only be written at the end. Until then `NAME.part` holds each plan's values on each
batch, a line each; a line that was never finished is left out. It goes once the rows are on the disk.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from identikit import strict_json
from identikit.crews.crew import Values
from identikit.errors import ResultError, SaveError
from identikit.files import explained, locked, refuse_link

FORMAT = "identikit.part"


class Part:
    """The values that are known so far, and the file that grows with them."""

    def __init__(self, path: Path | None, run: dict[str, Any]) -> None:
        """`run` says what is measured: a file of another run is refused. Without a path nothing is kept."""
        self.known: dict[tuple[int, str], tuple[str, Values]] = {}
        self.scores: dict[str, float] = {}
        self._path = path
        self._run = json.loads(json.dumps(run))
        self._lock = ExitStack()
        self._file: Any = None

    def open(self, *, resume: bool, overwrite: bool) -> None:
        """Go on with a file, or start anew. SaveError for one that would be lost, ResultError for another run's."""
        if self._path is None:
            return
        self._lock.enter_context(locked(self._path))
        refuse_link(self._path)
        if self._path.exists() and not (resume or overwrite):
            raise SaveError(
                f"{self._path} holds a scan that was cut short. Go on with it by --resume, or start anew by "
                "--overwrite."
            )
        whole = self._read(self._path) if resume and self._path.exists() else 0
        with explained(self._path):
            self._file = self._path.open("r+b" if whole else "wb")
            self._file.truncate(whole)
            self._file.seek(whole)
        if not whole:
            self._write({"format": FORMAT, "version": 1, "run": self._run})

    @property
    def kept(self) -> bool:
        """Whether values are written to a file."""
        return self._file is not None

    def value(self, number: int, plan: str, fingerprint: str) -> Values | None:
        """The values of `plan` on batch `number`; None where they are not known. ResultError for another batch."""
        found = self.known.get((number, plan))
        if found is None:
            return None
        if found[0] != fingerprint:
            raise ResultError(f"{self._path} was measured on other data: batch {number} differs. Use --overwrite.")
        return found[1]

    def note(self, number: int, plan: str, fingerprint: str, values: Values) -> None:
        """Keep the values of `plan` on batch `number`."""
        if self._file is None:
            return
        self.known[number, plan] = (fingerprint, values)
        lists = {name: rows.tolist() for name, rows in values.items()}
        self._write({"batch": number, "data": fingerprint, "plan": plan, "values": lists})

    def note_score(self, name: str, value: float) -> None:
        """Keep what a whole-model score said of the full model, until there is a header to hold it."""
        if self._file is not None:
            self.scores[name] = value
            self._write({"score": name, "value": value})

    def clear(self) -> None:
        """The header and the rows are written: what was kept for them goes."""
        self.known.clear()
        self.scores.clear()
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._write({"format": FORMAT, "version": 1, "run": self._run})

    def close(self, *, done: bool) -> None:
        """Close the file; with `done`, or where it holds nothing, it goes."""
        if self._file is None or self._path is None:
            self._lock.close()
            return
        self._file.close()
        self._file = None
        if done or not (self.known or self.scores):
            self._path.unlink(missing_ok=True)
        self._lock.close()

    def _write(self, value: dict[str, Any]) -> None:
        with explained(self._path or Path()):
            self._file.write(json.dumps(value, allow_nan=False).encode() + b"\n")
            self._file.flush()

    def _read(self, path: Path) -> int:
        """Read the whole lines, and return how many bytes they are."""
        whole = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                what = f"{path}, line {number}"
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
        names = [f"{name}: {run.get(name)} and {own}" for name, own in self._run.items() if run.get(name) != own]
        raise ResultError(
            f"{path} belongs to another scan; it differs in {'; '.join(names)} (the file's first). Scan to another "
            "file, or use --overwrite."
        )

    def _take(self, value: Any, what: str) -> None:
        try:
            if "score" in value:
                self.scores[str(value["score"])] = float(value["value"])
                return
            values = {str(name): np.array(rows, dtype=np.float64) for name, rows in value["values"].items()}
            self.known[int(value["batch"]), str(value["plan"])] = (str(value["data"]), values)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as cause:
            raise ResultError(f"{what} is damaged. Start anew by --overwrite.") from cause
