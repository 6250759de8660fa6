"""Mixed pruning: whole blocks and parts of them (attention, MLP) compete by what their absence costs for what it saves.

A part costs less than the block around it and saves less, so costs alone would always choose parts. Dropping attention
and MLP apart from each other: He et al. 2024, "What matters in transformers?" (arXiv:2406.15786).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from identikit.errors import BudgetError
from identikit.pruning.beam import Beam, ordinal
from identikit.pruning.budgets import Budget
from identikit.pruning.saved import Saving
from identikit.pruning.step import Step

MIXED = "mixed"


@dataclass(frozen=True)
class Mixed(Beam):
    """`saved`: how much smaller a set makes the model."""

    saved: Saving = field(kw_only=True)

    def order(self, tried: Sequence[Step], base: Step, cost: Callable[[Step], float]) -> list[Step]:
        """The least cost for what is saved first; `base`: what all of `tried` drop already.

        What costs nothing or less comes before all else, by how much it saves.
        """
        before, spent = self.saved(base), cost(base)

        def price(step: Step) -> tuple[bool, float]:
            more, saved = cost(step) - spent, self.saved(step) - before
            if more <= 0:
                return False, -saved
            return True, more / saved if saved > 0 else math.inf

        return sorted(tried, key=price)

    def why(self, steps: Sequence[Step], names: Sequence[str]) -> list[str]:
        """What went, a sentence each; `names`: the present names of what is gone at the last of `steps`."""
        return [
            f'"{name}" went {ordinal(number)}: of what was left, it cost least for the {self.saved.of} it saves.'
            for number, name in enumerate(names)
        ]


def check_mixed(budget: Budget, *, as_: str | None, compensate: str | None) -> None:
    """Raise BudgetError for what does not go with it."""
    if budget.drop is not None:
        raise BudgetError(
            f"--method mixed weighs blocks and their parts by what they save; --drop {budget.drop} counts them alike. "
            "Use --keep, --max-drop, --params, --flops, --speedup or --memory."
        )
    if as_ is not None:
        raise BudgetError(f"--method mixed takes each part out by its role; --as {as_} says otherwise. Leave one out.")
    if compensate is not None:
        raise BudgetError(
            f"--compensate {compensate} makes up for whole blocks; --method mixed drops parts too. Leave one out."
        )
