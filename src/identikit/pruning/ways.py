"""The ways to search: greedy, by a beam, by runs of neighbours, by blocks and their parts."""

from __future__ import annotations

from collections.abc import Mapping

from identikit.errors import BudgetError
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.pruning.beam import Beam
from identikit.pruning.budgets import Budget
from identikit.pruning.mixed import MIXED, Mixed
from identikit.pruning.runs import Runs
from identikit.pruning.saved import saving
from identikit.pruning.search import Way
from identikit.pruning.space import Space
from identikit.scanning.candidates import lines_of

METHODS = ("greedy", "beam", "span", MIXED)


def check_method(method: str, beam: int) -> None:
    """Raise BudgetError for a method that there is not, or a beam of no width."""
    if method not in METHODS:
        raise BudgetError(f'method="{method}" is not known; there are {", ".join(METHODS)}.')
    if beam < 1:
        raise BudgetError(f"beam={beam} is how many sets of each size go on: 1 or more.")


def way_of(method: str, beam: int, anatomy: Anatomy, plans: Mapping[str, Plan], budget: Budget) -> Way:
    """The way that `method` names, to search among the candidates of `plans`."""
    space = Space(anatomy.model, plans)
    if method == "span":
        return Runs(space, lines_of(anatomy, space.plans))
    if method == MIXED:
        return Mixed(space, saved=saving(anatomy, space, budget))
    return Beam(space, beam if method == "beam" else 1)
