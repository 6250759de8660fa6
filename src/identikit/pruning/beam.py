"""Beam search: the best few sets of layers of each size, each made larger by every layer that is left.

With a width of one it is the greedy search of SLEB (Song et al. 2024): after each removal all layers that are left are
scored again, because layers interact. A wider beam also finds pairs whose members look dear alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from identikit.pruning.space import Space
from identikit.pruning.step import Step


@dataclass(frozen=True)
class Beam:
    """`width`: how many sets of each size go on."""

    space: Space
    width: int = 1

    def larger(self, best: Sequence[Step]) -> list[Step]:
        """What is tried next: the best sets so far (the very best first), each with one more layer, each set once."""
        found: dict[frozenset[str], Step] = {}
        for step in best[: self.width]:
            for path in self.space.candidates(step.gone):
                larger = step.less(path, self.space.plans[path])
                found.setdefault(frozenset(larger.gone), larger)
        return list(found.values())

    def order(self, tried: Sequence[Step], base: Step, cost: Callable[[Step], float]) -> list[Step]:
        """The least costly first; of equals the first."""
        return sorted(tried, key=cost)

    def ends(self) -> list[tuple[str, ...]]:
        """The largest sets that can be reached: the largest layers first, and the innermost alone, which are more."""
        return [self.space.emptied(self.space.by_size()), self.space.emptied(self.space.innermost())]

    def why(self, steps: Sequence[Step], names: Sequence[str]) -> list[str]:
        """What went, a sentence each; `names`: the present names of what is gone at the last of `steps`."""
        if self.width > 1:
            return [steps[-1].why(names)] if names else []
        return [
            f'"{name}" went {ordinal(number)}: of the layers left, its absence cost least.'
            for number, name in enumerate(names)
        ]


def ordinal(number: int) -> str:
    """0: "first"."""
    words = ("first", "second", "third", "fourth", "fifth")
    return words[number] if number < len(words) else f"as number {number + 1}"
