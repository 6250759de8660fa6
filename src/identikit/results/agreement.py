"""How well a cheap ranking agrees with the exact one: rank correlations, and which of the least important they share.

No torch, no scipy: ranks of a few hundred layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

#: Scores that estimate what a layer is worth without leaving it out; each is a metric of that name in a result.
CHEAP = ("influence", "angular", "taylor")
_LEAST = 3  # two layers agree or they do not; that is no rank correlation


@dataclass(frozen=True)
class Agreement:
    """`cheap` and `exact` over the `count` layers that both know.

    spearman, kendall: rank correlations, -1 to 1 (Kendall's tau-b; ties have mean ranks). same: how many of the `least`
    least important layers by one are among the `least` least important by the other; of tied ones the first come first.
    """

    cheap: str
    exact: str
    count: int
    spearman: float
    kendall: float
    same: int
    least: int

    def __str__(self) -> str:
        return (
            f"{self.cheap} agrees with {self.exact}: Spearman {self.spearman:.2f}, Kendall {self.kendall:.2f} over "
            f"{self.count} layers; {self.same} of the {self.least} least important "
            f"{'is' if self.same == 1 else 'are'} the same"
        )


def agreed(
    names: Sequence[str], costs: Callable[[str], Mapping[object, float]], cheap: str | None, exact: str | None
) -> Agreement | None:
    """The agreement of two metrics of a result whose metrics are `names`; `costs` gives what each layer costs by one.

    Where None, the first cheap one and the first of the others. None where there is no such metric, and where
    `agreement` has nothing to say.
    """
    cheap = cheap or next((name for name in names if name in CHEAP), None)
    exact = exact or next((name for name in names if name not in CHEAP), None)
    if cheap is None or exact is None:
        return None
    one, other = costs(cheap), costs(exact)
    return agreement(cheap, exact, [(one[key], other[key]) for key in one if key in other])


def agreement(cheap: str, exact: str, pairs: Sequence[tuple[float, float]]) -> Agreement | None:
    """The agreement of two costs of the same layers, as (cheap, exact), larger meaning missed more.

    None where fewer than three are known, or where one of the two says the same of every layer.
    """
    if len(pairs) < _LEAST:
        return None
    one, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rho, tau = spearman(one, other), kendall(one, other)
    if rho is None or tau is None:
        return None
    least = max(1, len(pairs) // 3)
    same = len(set(_smallest(one, least)) & set(_smallest(other, least)))
    return Agreement(cheap, exact, len(pairs), rho, tau, same, least)


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks (Spearman 1904); None where one of the two is constant."""
    ranks = mean_ranks(one), mean_ranks(other)
    middle = (len(one) + 1) / 2
    apart = [[rank - middle for rank in each] for each in ranks]
    sizes = math.sqrt(math.prod(math.fsum(value * value for value in each) for each in apart))
    if sizes == 0:
        return None
    return _bounded(math.fsum(a * b for a, b in zip(*apart, strict=True)) / sizes)


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b: pairs in the same order less pairs in the other one, ties taken out of each (Kendall 1945)."""
    score = untied_one = untied_other = 0
    for a, b in combinations(range(len(one)), 2):
        signs = _sign(one[a] - one[b]), _sign(other[a] - other[b])
        score += signs[0] * signs[1]
        untied_one += signs[0] != 0
        untied_other += signs[1] != 0
    sizes = math.sqrt(untied_one * untied_other)
    return _bounded(score / sizes) if sizes else None


def mean_ranks(values: Sequence[float]) -> list[float]:
    """The ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or values[order[end]] != values[order[start]]:
            for place in order[start:end]:
                ranks[place] = (start + 1 + end) / 2
            start = end
    return ranks


def _smallest(values: Sequence[float], count: int) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)[:count]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _bounded(value: float) -> float:
    return max(-1.0, min(1.0, value))
