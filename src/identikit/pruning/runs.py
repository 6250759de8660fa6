"""Contiguous pruning: of each length, the run of neighbouring layers whose absence costs least.

Gromov et al. 2024 drop such runs by the angle between what enters and what leaves them; here each one is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from identikit.pruning.space import Space
from identikit.pruning.step import Step


@dataclass(frozen=True)
class Runs:
    """`lines`: the layers that stand one behind the other, stack by stack."""

    space: Space
    lines: Sequence[Sequence[str]]

    def larger(self, best: Sequence[Step]) -> list[Step]:
        """Every run of one layer more than the best so far."""
        return [self.space.step(run) for run in self._runs(len(best[0].gone) + 1)]

    def order(self, tried: Sequence[Step], base: Step, cost: Callable[[Step], float]) -> list[Step]:
        """The least costly first; of equals the first."""
        return sorted(tried, key=cost)

    def ends(self) -> list[tuple[str, ...]]:
        """The longest runs that can go."""
        longest = max(len(line) for line in self.lines)
        return next((found for length in range(longest, 0, -1) if (found := self._runs(length))), [])

    def why(self, steps: Sequence[Step], names: Sequence[str]) -> list[str]:
        """What went, in a sentence; `names`: the present names of what is gone at the last of `steps`."""
        return [steps[-1].why(names)] if names else []

    def _runs(self, length: int) -> list[tuple[str, ...]]:
        windows = [tuple(line[at : at + length]) for line in self.lines for at in range(len(line) - length + 1)]
        return [run for run in windows if len(self.space.emptied(run)) == length]
