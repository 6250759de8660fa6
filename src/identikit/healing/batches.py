"""The data of a healing: some batches are held out, the others are learned from, each epoch in another order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from identikit.batches import Batch, tensors_of
from identikit.errors import DataError
from identikit.sources.readings import Data

MOST_HELD_OUT = 8  # batches: more of them would take the time and hardly tell more
_MEMORY = 2 << 30  # bytes of batches that are kept; of larger data the order is the loader's own


@dataclass
class Parts:
    """What is learned from (`kept` in memory, else read again each epoch) and what is held out."""

    data: Data
    seed: int
    held_out: list[Batch]
    out: frozenset[int]
    count: int
    kept: list[Batch] | None = field(repr=False)

    @property
    def batches(self) -> int:
        """How many batches are learned from."""
        return self.count - len(self.out)

    @property
    def examples(self) -> tuple[int, int]:
        """How many examples are learned from, and how many are held out."""
        out = sum(batch.examples for batch in self.held_out)
        return self.data.examples - out, out

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, the first `skip` left out; the same ones in the same order for the same number."""
        if self.kept is None:
            left = (batch for index, batch in enumerate(self.data) if index not in self.out)
            yield from (batch for at, batch in enumerate(left) if at >= skip)
            return
        draw = torch.Generator().manual_seed(self.seed + 1 + number)
        for index in torch.randperm(len(self.kept), generator=draw).tolist()[skip:]:
            yield self.kept[index].copied()


def parts_of(data: Data, share: float, seed: int, processes: int = 1, memory: int = _MEMORY) -> Parts:
    """`data` with `share` of its batches held out (one at least, eight at most), drawn by `seed`.

    Raises DataError for a single batch, where nothing would be left to judge on, and for fewer batches than processes.
    """
    kept: list[Batch] = []
    size = count = 0
    for batch in data:
        count += 1
        size += sum(value.numel() * value.element_size() for value in tensors_of((batch.args, batch.kwargs)))
        if size <= memory:
            kept.append(batch)
    if count < 2:
        raise DataError(
            f"{data.name} is one batch, and healing is judged on examples that it does not learn from. Give two "
            "batches or more, for example of a smaller batch size."
        )
    number = min(MOST_HELD_OUT, count - 1, max(1, round(share * count)))
    if count - number < processes:
        raise DataError(
            f"{data.name}: {count - number} batches are left to learn from, for {processes} processes. Start fewer, or "
            "make the batches smaller."
        )
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:number]
    out = frozenset(int(index) for index in drawn)
    if size <= memory:
        held = [batch for index, batch in enumerate(kept) if index in out]
        return Parts(data, seed, held, out, count, [batch for index, batch in enumerate(kept) if index not in out])
    held = [batch for index, batch in enumerate(data) if index in out]
    return Parts(data, seed, held, out, count, None)
