"""What a prune says where its budget cannot be reached: what was asked, what was found, the nearest that can."""

from __future__ import annotations

import math
from collections.abc import Iterable

from identikit.confidence.effect import drops, keeps
from identikit.errors import BudgetError
from identikit.pruning.budgets import Budget
from identikit.results import MetricInfo


def check_reachable(budget: Budget, metric: str, info: MetricInfo, *, most: int, least: float) -> None:
    """Refuse before any work what arithmetic alone rules out.

    `most`: how many layers can go. `least`: the share of the parameters that is then left. Raises BudgetError, and
    MetricError for a share of a score that is not above zero.
    """
    if budget.keep is not None:
        keeps(info.full, info.full, info.higher_is_better, name=metric)
    if most == 0:
        raise BudgetError("nothing can be dropped: each stack keeps one layer. Name inner layers with --at (at=...).")
    if budget.drop is not None and budget.drop > most:
        can = "1 layer can go" if most == 1 else f"{most} layers can go"
        raise BudgetError(f"--drop {budget.drop} cannot be reached: {can}. Try --drop {most}.")
    if budget.params is not None and least > budget.params:
        raise BudgetError(
            f"--params {budget.params:g} cannot be reached: without all {most} layers that can go, "
            f"{least:.1%} of the parameters are left. {_try_params(least)}"
        )


def ended_early(budget: Budget, dropped: int, left: float) -> str:
    """The message for a search that ran out of layers before its goal."""
    if budget.drop is not None:
        return f"--drop {budget.drop} was not reached: after {dropped} no further layer can go. Try --drop {dropped}."
    return (
        f"--params {budget.params:g} was not reached: after {dropped} layers no further one can go, and "
        f"{left:.1%} of the parameters are left. {_try_params(left)}"
    )


def too_strict(budget: Budget, metric: str, info: MetricInfo, edited: float, path: str, paths: Iterable[str]) -> str:
    """The message for a floor that even the best single drop, of the layer at `path`, breaks."""
    cost = drops(info.full, edited, info.higher_is_better)
    absolute = f"--max-drop {_up(cost)}"
    if budget.keep is not None:
        kept = keeps(info.full, edited, info.higher_is_better, name=metric)
        shown = math.floor(kept * 1000) / 1000
        asked = f"--keep {budget.keep:g}"
        found = f"keeps {shown:g}" if info.higher_is_better else f"has {1 - kept:.3g} more {metric}, as a share of it"
        nearest = f"--keep {shown:g}" if shown > 0 else absolute
    else:
        asked, found, nearest = f"--max-drop {budget.max_drop:g}", f"costs {_up(cost)} of {metric}", absolute
    stacks = sorted({each.rpartition(".")[0] for each in paths})
    where = ", ".join(f'"{stack}.*"' if stack else '"*"' for stack in stacks)
    layer = path.rpartition(".")[2] if len(stacks) == 1 else path
    return (
        f"{asked} cannot be reached by dropping any layer of {where}; the best single drop (layer {layer}) {found}. "
        f"Try {nearest}, or heal after dropping."
    )


def _up(cost: float) -> str:
    """`cost` in three digits, rounded up: a budget of it is met."""
    step = 10.0 ** (math.floor(math.log10(cost)) - 2)
    return f"{math.ceil(cost / step) * step:.3g}"


def _try_params(share: float) -> str:
    nearest = math.ceil(share * 1000) / 1000
    return f"Try --params {nearest:g}." if nearest < 1 else "Try --drop 1."
