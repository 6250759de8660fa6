"""Data: batches that can be gone through twice, with a fingerprint that proves the two readings equal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from identikit.batches import Batch, as_batch, fingerprint, nth, so_many
from identikit.errors import DataError


class Data:
    """A re-iterable of `Batch`.

    Each batch is fingerprinted at the first reading and compared at every later one; a batch that differs raises
    DataError. Of a loader only the fingerprints are kept, not the batches. `name` says where the data comes from,
    `reads` what was taken from it (columns, number of tokens), for people to read.
    """

    def __init__(
        self,
        source: Callable[[], Iterable[Any]],
        *,
        name: str,
        reads: str = "",
        batches: int | None = None,
        limit: int | None = None,
        kept: bool = False,
    ) -> None:
        """`source()` starts a reading. `limit` ends it after so many examples. `kept`: the batches stay in memory,
        so the model gets copies (a layer that works in place would write into them)."""
        self.name = name
        self.reads = reads
        self._source = source
        self._limit = limit
        self._kept = kept
        self._expected = batches if limit is None else None
        self._seen: list[tuple[str, int]] = []
        self._complete = False

    def __iter__(self) -> Iterator[Batch]:
        index = -1
        for index, batch in enumerate(self._batches()):
            self._compare(index, batch)
            yield batch.copied() if self._kept else batch
        if index + 1 < len(self._seen):
            raise self._differs(f"ended after {so_many(index + 1)}; an earlier reading had {len(self._seen)}")
        if index < 0:
            raise DataError(f"{self.name} is empty: it holds no batch. Give at least one example.")
        self._complete = True

    def __len__(self) -> int:
        """The number of batches. TypeError where only a reading can tell, and there was none yet."""
        if self._complete:
            return len(self._seen)
        if self._expected is None:
            raise TypeError(f"the number of batches of {self.name} is known after the first reading")
        return self._expected

    def __repr__(self) -> str:
        known = f"{so_many(len(self._seen))}, {self.examples} examples" if self._complete else "not read yet"
        return f"Data({self.name!r}, {known})"

    @property
    def examples(self) -> int:
        """The number of examples. Reads all batches where that was not done yet."""
        return sum(count for _, count in self._read())

    @property
    def sizes(self) -> list[int]:
        """The number of examples of each batch. Reads all batches where that was not done yet."""
        return [count for _, count in self._read()]

    @property
    def fingerprint(self) -> str:
        """A hash of all batches in their order. Reads all batches where that was not done yet."""
        joined = " ".join(print_ for print_, _ in self._read())
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def part(self, taken: Callable[[int, Batch], Batch | None], *, batches: int) -> Data:
        """A part of this data, read, fingerprinted and compared on its own.

        Of each batch what `taken(its number, batch)` leaves, None for nothing; `batches`: how many that are.
        """

        def source() -> Iterator[Batch]:
            found = (taken(number, batch) for number, batch in enumerate(self._batches()))
            return (batch for batch in found if batch is not None)

        return Data(source, name=self.name, reads=self.reads, batches=batches, kept=self._kept)

    def _read(self) -> list[tuple[str, int]]:
        """The fingerprint and the number of examples of each batch."""
        if not self._complete:
            for _ in self:
                pass
        return self._seen

    def _batches(self) -> Iterator[Batch]:
        """One reading of the source, ended at the limit."""
        left = self._limit
        for index, raw in enumerate(self._source()):
            batch = self._as_batch(index, raw)
            if left is None:
                yield batch
                continue
            yield batch.head(left)
            left -= min(left, batch.examples)
            if left == 0:
                return

    def _as_batch(self, index: int, raw: Any) -> Batch:
        """A user's batch read; the error says which one."""
        try:
            batch = as_batch(raw)
        except DataError as error:
            raise DataError(f"the {nth(index)} batch of {self.name}: {error}") from error
        if batch.examples < 1:
            raise DataError(f"the {nth(index)} batch of {self.name} holds no example. Leave empty batches out.")
        return batch

    def _compare(self, index: int, batch: Batch) -> None:
        """Take the fingerprint of a batch seen first; raise DataError where a later reading differs."""
        found = (fingerprint(batch), batch.examples)
        if index < len(self._seen):
            if self._seen[index] != found:
                raise self._differs(f"gave another {nth(index)} batch than at the first reading")
        elif self._complete:
            raise self._differs(f"goes on after {so_many(len(self._seen))}, where the first reading ended")
        else:
            self._seen.append(found)

    def _differs(self, how: str) -> DataError:
        """The error for two readings that are not the same."""
        if self._kept:
            return DataError(f"{self.name} {how}: its tensors were changed in the meantime. Hand over copies.")
        return DataError(
            f"{self.name} {how}: it shuffles or draws at random. "
            "Use DataLoader(..., shuffle=False), or list(loader) to keep one reading."
        )
