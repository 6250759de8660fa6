"""Which examples the search does not see: those that say afterwards what the chosen layers are worth."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from identikit.batches import Batch
from identikit.errors import DataError
from identikit.pruning.rows import can_be_cut, cut
from identikit.sources.readings import Data

SHARE = 0.25
_FEWEST = 8  # examples on either side: fewer say more about chance than about the layers
_STRETCHES = 2  # batches on either side: one alone is a single stretch of the file
_BY_WHICH = "the scores are those by which the layers were chosen."


@dataclass(frozen=True)
class Parts:
    """What the search sees, and what is held out; `said`: why nothing is, a sentence, where `held` is None."""

    search: Data | None
    held: Data | None = None
    said: str = ""


def split(data: Data | None, share: float, seed: int, *, scored: bool = False) -> Parts:
    """The two parts of the data: whole batches, or examples where there are few batches.

    A file's own order may mean something (STS-B is sorted by genre), so the held-out ones are spread over all of it:
    one is drawn from the `seed` in each of equally long stretches. `scored`: what leads the search is a whole-model
    score, which reads no batches. Reads the data once where there are few batches, or their number is not known.
    Raises DataError for what is no share.
    """
    if not 0 <= share < 1:
        raise DataError(f"--holdout {share:g} is no share from 0 to below 1: 0.25 holds out a quarter, 0 nothing.")
    if scored or data is None:
        return _nothing(data, "as a score reads no batches")
    if share == 0:
        return _nothing(data, "")
    try:
        count = len(data)
    except TypeError:
        count = len(data.sizes)
    held = drawn(count, share, seed)
    if min(len(held), count - len(held)) >= _STRETCHES and _enough(data, held, count):
        return _by_batches(data, count, held)
    return _by_examples(data, share, seed)


def drawn(count: int, share: float, seed: int) -> list[int]:
    """About `share` of the numbers from 0 to `count`, in order: one from each of equally long stretches."""
    held = round(count * share)
    bounds = [count * number // held for number in range(held + 1)] if held else []
    random = np.random.default_rng(seed)
    return [int(random.integers(low, high)) for low, high in pairwise(bounds)]


def _enough(data: Data, held: Sequence[int], count: int) -> bool:
    """Whether both parts have examples enough; so many batches surely do, and need not be read for it."""
    if min(len(held), count - len(held)) >= _FEWEST:
        return True
    sizes = data.sizes
    inside = sum(sizes[number] for number in held)
    return min(inside, sum(sizes) - inside) >= _FEWEST


def _by_batches(data: Data, count: int, held: Sequence[int]) -> Parts:
    inside = frozenset(held)

    def of(held_out: bool) -> Callable[[int, Batch], Batch | None]:
        return lambda number, batch: batch if (number in inside) is held_out else None

    search = data.part(of(False), batches=count - len(inside))
    return Parts(search, data.part(of(True), batches=len(inside)))


def _by_examples(data: Data, share: float, seed: int) -> Parts:
    sizes = data.sizes
    total = sum(sizes)
    held = drawn(total, share, seed)
    if min(len(held), total - len(held)) < _FEWEST:
        return _nothing(data, f"as {total} example{'s are' if total > 1 else ' is'} too few")
    if not all(can_be_cut(batch) for batch in data):
        few = "1 batch is" if len(sizes) == 1 else f"{len(sizes)} batches are"
        return _nothing(data, f"as {few} too few and it is not plain which rows belong to which example")
    inside: dict[int, list[int]] = {}
    starts = [0, *accumulate(sizes)]
    for example in held:
        number = bisect_right(starts, example) - 1
        inside.setdefault(number, []).append(example - starts[number])
    outside = {
        number: [row for row in range(size) if row not in inside.get(number, ())] for number, size in enumerate(sizes)
    }
    return Parts(_taken(data, outside), _taken(data, inside))


def _taken(data: Data, examples: Mapping[int, Sequence[int]]) -> Data:
    """Of each batch the examples of its number."""

    def taken(number: int, batch: Batch) -> Batch | None:
        chosen = examples.get(number)
        return cut(batch, chosen) if chosen else None

    return data.part(taken, batches=sum(bool(chosen) for chosen in examples.values()))


def _nothing(data: Data | None, why: str) -> Parts:
    return Parts(data, None, f"Nothing was held out{f', {why}' if why else ''}: {_BY_WHICH}")
