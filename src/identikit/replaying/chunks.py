"""How many branches one call should hold: measured on the calls themselves as they come, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
_BETTER = 0.97  # a larger call must save this much to be worth its memory
_SAMPLES = 3  # calls of each size before it is judged
_TRIED = 8  # branches in the call that says whether stacking helps at all


class Chunks:
    """Grows the calls by doubling for as long as a branch gets cheaper, up to `most` at once.

    A matrix product on few rows leaves a processor idle, and a layer whose weights are fetched from a disk costs the
    same whatever it is given: which of the two matters, and from which size on, is not known before it was tried.
    """

    def __init__(self, device: torch.device, most: int) -> None:
        self.most = max(1, most)
        self._device = device
        self._seconds: dict[int, list[float]] = {}
        self._size = 1
        self._settled = False

    @property
    def size(self) -> int:
        """How many branches the next call should hold."""
        return min(self._size, self.most)

    def gain(self, call: Callable[[int], object]) -> float:
        """What a branch costs in a larger call over what it costs alone; `call(members)` makes a call of that size."""
        self._size = min(_TRIED, self.most)
        for members in (1, self._size):
            call(members)  # the first one warms up
            for _ in range(2):
                self.timed(members, lambda members=members: call(members))  # type: ignore[misc]
        return min(self._seconds[self._size]) / min(self._seconds[1])

    def timed(self, members: int, call: Callable[[], T]) -> T:
        """`call()` on `members` branches, its time noted."""
        if self._settled or members not in (1, self._size):
            return call()
        began = self._now()
        result = call()
        self._note(members, (self._now() - began) / members)
        return result

    def _note(self, members: int, seconds: float) -> None:
        times = self._seconds.setdefault(members, [])
        times.append(seconds)
        if members != self._size or len(times) < _SAMPLES:
            return
        smaller = self._seconds.get(members // 2)
        if smaller is not None and min(times) > _BETTER * min(smaller):
            self._size, self._settled = max(1, members // 2), True
        elif 2 * members > self.most:
            self._settled = True
        else:
            self._size = 2 * members

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
