"""How long a pass takes without some layers, measured in turn, so that what slows the machine slows every model."""

from __future__ import annotations

from collections.abc import Sequence

from identikit.costing.cost import pass_seconds
from identikit.costing.latency import median
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.surgery.apply import install

ROUNDS = 7  # for an interval of 95 % six are needed
JUDGED = 21  # where the time decides


def pass_times(anatomy: Anatomy, plans: Sequence[Plan], *, rounds: int = ROUNDS) -> list[list[float]]:
    """Seconds of a pass over the first batch under each plan, [plan][round].

    In each round every plan once, every second round backwards, so that none always runs after the same other one. A
    round before them warms up.
    """
    seconds: list[list[float]] = [[] for _ in plans]
    for number in range(rounds + 1):
        order = list(zip(plans, seconds, strict=True))
        for plan, taken in order if number % 2 == 0 else reversed(order):
            with install(anatomy, plan, check=False, decoding=False):
                taken.append(pass_seconds(anatomy))
    return [taken[1:] for taken in seconds]


def times_as_fast(seconds: Sequence[Sequence[float]]) -> list[float]:
    """How many times as fast each plan is as the first one: the median of the ratios, round by round."""
    full, *others = seconds
    return [median([one / other for one, other in zip(full, taken, strict=True)]) for taken in others]
