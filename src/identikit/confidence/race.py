"""A race: candidates whose place in the ranking is settled by the examples so far are given no more of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from identikit.confidence.effect import cautious_error
from identikit.confidence.quantile import student
from identikit.errors import MetricError
from identikit.metrics.base import Floats

FIRST = 32  # examples before the first look: fewer say too little of the spread
GROWTH = 1.5  # a look at 32, 48, 72, ... examples: of 1.25, 1.5 and 2, within 5 % of the fewest examples
Side = Literal["in", "out", "placed"]
_SIDES = {"in": 0, "out": 2}


class Settled(NamedTuple):
    """How a candidate left: among the `least` ("in"), not among them ("out"), or its rank is known ("placed")."""

    side: Side
    examples: int
    look: int


class Race:
    """Says, look after look, which candidates need no more examples.

    Tell it the costs of each open candidate on each example so far (`look`); it answers with those settled now.
    `least=k`: what counts is which k candidates cost least; one is settled when enough others surely cost less (out)
    or more (in). `least=None`: the whole ranking counts; one is settled when it is surely apart from every other.

    Surely: the mean of the paired differences (the same examples under both) lies further from zero than Student's t
    allows. All statements of a race hold together with probability `confidence`: 1 - confidence is shared evenly by
    its looks and its comparisons (Bonferroni). Only `least * (n - least)` comparisons count, each in one direction:
    who is put on the wrong side is there because some candidate of one side was wrongly told from one of the other.

    With `examples`, how many there are in all, the question is what all of them would say, so the spread shrinks as
    fewer are left (the correction for a finite population: Cochran 1977, Sampling Techniques, 2.4). Without, it is
    what more examples of the kind would say, and look j gets 1 / ((j + 1)(j + 2)) of the error.

    What is assumed: the examples come in an order that has nothing to do with the costs, and means of 32 or more are
    near normal (`cautious_error` allows for a spread not seen yet). A file's own order will not do: of 2,048 sentences
    of STS-B, which is sorted by genre, a race in file order takes the wrong two of MiniLM's layers; with batches of 32
    in random order 49 of 50 races take the right two. A rare disaster that no example so far has shown cannot be
    reckoned with. Nothing is drawn here: the same costs give the same answers.

    Source: Hoeffding races (Maron and Moore 1993), with t in place of Hoeffding's bound, which needs a range; looks
    on a geometric schedule (Mnih et al. 2008, Empirical Bernstein Stopping); accepts and rejects for the best k
    (Bubeck et al. 2013, Multiple Identifications in Multi-Armed Bandits; for k = 1 Audibert and Bubeck 2010).
    """

    def __init__(
        self, names: Sequence[str], *, confidence: float, least: int | None = None, examples: int | None = None
    ) -> None:
        """Raises MetricError for names that stand twice, a `confidence` outside 0 to 1 or `least` below 1."""
        if len(set(names)) != len(names):
            raise MetricError("a race needs candidates with different names.")
        if not 0.0 < confidence < 1.0:
            raise MetricError(f"a confidence lies between 0 and 1, such as 0.95; found {confidence}.")
        if least is not None and least < 1:
            raise MetricError(f"a race for the least costly needs one at least; found {least}.")
        self.names = tuple(names)
        self.confidence, self.least, self.examples = confidence, least, examples
        self.settled: dict[str, Settled] = {}
        self._number = {name: number for number, name in enumerate(names)}
        self._cheaper: npt.NDArray[np.bool_] = np.zeros((len(names), len(names)), dtype=bool)  # [surely less, than]
        self._looks = 0  # how many of the schedule are taken
        count = len(names)
        crossing = count * (count - 1) // 2 if least is None else least * (count - least)
        self._comparisons = max(1, crossing)

    @property
    def open(self) -> tuple[str, ...]:
        """The candidates that need more examples."""
        return tuple(name for name in self.names if name not in self.settled)

    @property
    def due(self) -> int | None:
        """How many examples the next look needs; None where there is nothing left to decide, or only the end."""
        count = _examples_at(self._looks)
        return None if not self.open or (self.examples is not None and count >= self.examples) else count

    @property
    def looks(self) -> int:
        """By how much an error is to be divided for a statement that holds at whichever look it is made."""
        return round(1.0 / self._share(max(0, self._looks - 1))) + 1

    def look(self, costs: Mapping[str, Floats]) -> tuple[str, ...]:
        """The candidates settled now, in order; none where the look is not due.

        `costs`: for each open candidate the cost of each example so far ([examples], positive is worse without the
        layer), of the same examples in the same order; settled ones may be there, and are not read.
        Raises MetricError where one is missing or the lengths differ.
        """
        names = self.open
        if len({costs[name].shape if name in costs else None for name in names}) > 1:
            raise MetricError("a race needs one cost for each example of each open candidate, of the same examples.")
        count = len(costs[names[0]]) if names and names[0] in costs else 0
        if self.due is None or count < self.due or (self.examples is not None and count >= self.examples):
            return ()
        while self.due is not None and self.due <= count:  # several at once where batches are large
            self._looks += 1
        costs_ce = np.stack([np.asarray(costs[name], dtype=np.float64) for name in names])
        for name in names:
            if not np.isfinite(costs[name]).all():
                raise MetricError(f"without {name} the cost of an example is not finite; it cannot be compared.")
        self._compare(costs_ce, names)
        return self._settle(count)

    def level(self, name: str) -> float:
        """The confidence for the interval of the candidate's own effect, so that stopping is counted in.

        Half of the error (1 - confidence) is kept for the candidates that saw everything, the other half is shared
        by the looks: over all the moments at which it might have stopped the interval covers with `confidence`.
        """
        error = (1.0 - self.confidence) / 2
        return 1.0 - (error * self._share(self.settled[name].look) if name in self.settled else error)

    def order(self, costs: Mapping[str, Floats]) -> tuple[str, ...]:
        """All candidates, the least costly first, in agreement with what was settled; open ones by their means.

        Means over different examples do not compare: one that left early keeps the side (or the rank) it left with.
        """
        left = [self._number[name] for name in self.names if name in self.settled]

        def place(name: str) -> tuple[int, int, float]:
            """Side, or how many settled ones surely cost less (a settled one right behind them), then the mean."""
            mean = float(np.mean(costs[name]))
            if self.least is None:
                return int(self._cheaper[left, self._number[name]].sum()), int(name in self.settled), mean
            return _SIDES[self.settled[name].side] if name in self.settled else 1, 0, mean

        return tuple(sorted(self.names, key=place))

    def _share(self, look: int) -> float:
        """The share of the error that look number `look` (from 0) may spend; the sum over all looks is 1 at most."""
        if self.examples is None:
            return 1.0 / ((look + 1) * (look + 2))
        looks = 0
        while _examples_at(looks) < self.examples:
            looks += 1
        return 1.0 / max(1, looks)

    def _compare(self, costs_ce: npt.NDArray[np.float64], names: Sequence[str]) -> None:
        """Note which of the open candidates, [candidates, examples], surely cost less than which."""
        count = costs_ce.shape[1]
        error = (1.0 - self.confidence) * self._share(self._looks - 1) / self._comparisons
        left = 1.0 if self.examples is None else 1.0 - count / self.examples
        times = student(1.0 - error, count - 1) * math.sqrt(left)
        numbers = np.array([self._number[name] for name in names])
        for place, number in enumerate(numbers[:-1]):
            difference = costs_ce[place + 1 :] - costs_ce[place]
            mean, reach = np.mean(difference, axis=1), times * cautious_error(difference)
            others = numbers[place + 1 :]
            new = ~(self._cheaper[number, others] | self._cheaper[others, number])  # what is said once stands
            self._cheaper[number, others[new & (mean > reach)]] = True
            self._cheaper[others[new & (mean < -reach)], number] = True

    def _settle(self, count: int) -> tuple[str, ...]:
        """Settle whom the comparisons so far allow; one that leaves may free the next."""
        found: set[str] = set()
        while side := self._next():
            self.settled[side[0]] = Settled(side[1], count, self._looks - 1)
            found.add(side[0])
        return tuple(name for name in self.names if name in found)

    def _next(self) -> tuple[str, Side] | None:
        names = self.open
        numbers = [self._number[name] for name in names]
        taken = sum(each.side == "in" for each in self.settled.values())
        for name, number in zip(names, numbers, strict=True):
            if self.least is None:
                if (self._cheaper[number] | self._cheaper[:, number]).sum() == len(self.names) - 1:
                    return name, "placed"
            elif self._cheaper[numbers, number].sum() >= self.least - taken:
                return name, "out"
            elif self._cheaper[number, numbers].sum() >= len(names) - (self.least - taken):
                return name, "in"
        return None


def _examples_at(look: int) -> int:
    """How many examples look number `look` (from 0) of the schedule needs."""
    return math.ceil(FIRST * GROWTH**look)
