"""Work counted as rows x layers: how many rows went through how many layer forwards, however they were stacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Work:
    """The count of a scan. `done` is the scan's own; `check` what proving the engine took, counted apart.

    A layer is one of the model's whole blocks (where it has none, one of the scanned places). Stacking branches in one
    call does not hide them: a call on 24 branches of 8 rows counts 192.
    """

    def __init__(self) -> None:
        self.done = 0
        self.check = 0
        self._checking = False

    def add(self, rows: int) -> None:
        """`rows` more rows went through one layer."""
        if self._checking:
            self.check += rows
        else:
            self.done += rows

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Inside, what is run proves an engine and is counted apart."""
        self._checking, before = True, self._checking
        try:
            yield
        finally:
            self._checking = before
