"""How much of a healing is done, by the clock or by steps, and how fast it learns there: warm-up, then a cosine.

Source of the schedule: Loshchilov and Hutter 2017, "SGDR" (arXiv:1608.03983), one period.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

WARM_UP = 0.05  # of the budget
LAST = 0.01  # of the highest rate
LOOKS = 20  # at the held-out part, where they cost next to nothing
_DEAREST_LOOK = 10  # times what a look costs must go by before the next


class Budget:
    """The wall time or the steps that there are; `spent` seconds are gone already (of a run that was cut short)."""

    def __init__(
        self, seconds: float | None, steps: int | None, spent: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds, self.steps = seconds, steps
        self._clock = clock
        self._start = clock() - spent
        self._look = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning, those of an earlier run included."""
        return self._clock() - self._start

    def looked(self, seconds: float) -> None:
        """A look at the held-out part took so long. Two are kept for the end."""
        self._look = seconds

    def share(self, step: int) -> float:
        """How much is done after `step` steps, from 0 to 1 and more."""
        done = 0.0
        if self.seconds is not None:
            done = self.elapsed / max(1e-9, self.seconds - 2 * self._look)
        if self.steps is not None:
            done = max(done, step / self.steps)
        return done

    def next_look(self, share: float) -> float:
        """At which share the held-out part is looked at again, after a look at `share`.

        By steps alone always after as many of them, so that a run that was cut short goes on as an unbroken one.
        """
        if self.seconds is None:
            return share + 1 / LOOKS
        return share + max(1 / LOOKS, _DEAREST_LOOK * self._look / self.seconds)


def pace(share: float) -> float:
    """The learning rate at `share` of the budget, as a share of the highest."""
    if share < WARM_UP:
        return max(share / WARM_UP, LAST)
    done = min(1.0, (share - WARM_UP) / (1 - WARM_UP))
    return LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * done))
