"""What a prune says where its budget cannot be reached: what was asked, what was found, the nearest that can."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from identikit.confidence.effect import drops, keeps
from identikit.errors import BudgetError
from identikit.pruning.budgets import Budget
from identikit.results import MetricInfo
from identikit.scanning.byte_sizes import size_text


def check_reachable(
    budget: Budget, metric: str, info: MetricInfo, *,
    most: int, full: Callable[[], float], furthest: Callable[[], float],
) -> None:  # fmt: skip
    """Refuse before any work what cannot be.

    `most`: how many layers can go. `furthest`: what the budget counts is then this; `full`: of the full model.
    Raises BudgetError, and MetricError for a share of a score that is not above zero.
    """
    if budget.keep is not None:
        keeps(info.full, info.full, info.higher_is_better, name=metric)
    if most == 0:
        raise BudgetError("nothing can be dropped: each stack keeps one layer. Name inner layers with --at (at=...).")
    if budget.floor:
        return
    if budget.drop is not None:
        if budget.drop > most:
            can = "1 layer can go" if most == 1 else f"{most} layers can go"
            raise BudgetError(f"--drop {budget.drop} cannot be reached: {can}. Try --drop {most}.")
        return
    if budget.memory is not None and budget.reached(amount := full()):
        needs = size_text(int(amount), digits=3)
        raise BudgetError(f"--memory {size_text(budget.memory)}: the full model needs {needs}, so no layer has to go.")
    if not budget.reached(amount := furthest()):
        asked, found, nearest = _amount(budget, amount)
        raise BudgetError(f"{asked} cannot be reached: without all {most} layers that can go, {found}. {nearest}")


def ended_early(budget: Budget, dropped: int, amount: float) -> str:
    """The message for a search that ran out of layers before its goal."""
    if budget.drop is not None:
        return f"--drop {budget.drop} was not reached: after {dropped} no further layer can go. Try --drop {dropped}."
    asked, found, nearest = _amount(budget, amount)
    return f"{asked} was not reached: after {dropped} layers no further one can go, and {found}. {nearest}"


def _amount(budget: Budget, amount: float) -> tuple[str, str, str]:
    """What was asked, what was found, what to try instead."""
    if budget.speedup is not None:
        # the next measurement is another one; and what was asked was missed, whatever this one says
        nearest = min(math.floor(amount * 20), math.ceil(budget.speedup * 20) - 1) / 20
        advice = f"Try --speedup {nearest:g}." if nearest > 1 else "Try --drop 1."
        return f"--speedup {budget.speedup:g}", f"a pass is {amount:.2f} times as fast", advice
    if budget.memory is not None:
        needs = size_text(int(amount), digits=3)
        return f"--memory {size_text(budget.memory)}", f"a pass needs {needs}", f"Try --memory {needs}."
    option, share, of = ("params", budget.params, "parameters") if budget.params else ("flops", budget.flops, "FLOPs")
    nearest = math.ceil(amount * 1000) / 1000
    advice = f"Try --{option} {nearest:g}." if nearest < 1 else "Try --drop 1."
    return f"--{option} {share:g}", f"{amount:.1%} of the {of} are left", advice


def too_strict(
    budget: Budget, metric: str, info: MetricInfo, edited: float, gone: Sequence[str], paths: Iterable[str], read: str
) -> str:
    """The message for a floor that even the best drop, of the layers `gone`, breaks; most often it is a single one.

    `edited`: its score; `read`: where it was read, where that is not the score itself.
    """
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
    layer = gone[-1].rpartition(".")[2] if len(stacks) == 1 else gone[-1]
    best = f"the best single drop (layer {layer})" if len(gone) == 1 else f"the best drop of {len(gone)} layers"
    return (
        f"{asked} cannot be reached by dropping any layer of {where}; {best} "
        f"{found}{read}. Try {nearest}, or heal after dropping."
    )


def _up(cost: float) -> str:
    """`cost` in three digits, rounded up: a budget of it is met."""
    step = 10.0 ** (math.floor(math.log10(cost)) - 2)
    return f"{math.ceil(cost / step) * step:.3g}"
