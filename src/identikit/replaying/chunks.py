"""How many branches one call should hold: measured on the calls themselves as they come, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
_BETTER = 0.98  # what a branch may cost in a larger call for it to be worth its memory
_SAMPLES = 3  # calls of each size before it is judged
_BEYOND = 4  # times the best size so far: beyond, nothing is tried any more
_TRIED = 8  # branches in the call that says whether stacking helps at all


class Chunks:
    """Grows the calls by doubling, up to `most` at once, until two doublings in a row made no branch cheaper.

    One doubling says little: clocks are noisy, and a call that is slow by chance would keep all that follow small.

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
        best = self._best()
        if members >= _BEYOND * best or 2 * members > self.most:
            self._size, self._settled = best, True
        else:
            self._size = 2 * members

    def _best(self) -> int:
        """The smallest size that no larger one beats by enough."""
        best, cost = 1, float("inf")
        for members in sorted(self._seconds):
            if min(self._seconds[members]) <= _BETTER * cost:
                best, cost = members, min(self._seconds[members])
        return best

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
