"""One reading of the data: group after group of batches, all plans on each, judged example by example."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from identikit.batches import Batch, fingerprint
from identikit.confidence.effect import costs
from identikit.confidence.race import Race
from identikit.crews.crew import FULL, Crew, Found, Group, Job, Values
from identikit.crews.local import Local
from identikit.crews.worker import Worker
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.replaying.engine import Engine
from identikit.scanning.part import Part
from identikit.sources.readings import Data

Rows = dict[str, Floats]  # metric to the rows of all examples seen
_TWO = 2  # an engine is proved on two examples


@dataclass
class _Readiness:
    """Whether the crew has chosen its engine; the sweeps that share it share this."""

    done: bool = False


@dataclass(frozen=True)
class _Asked:
    """A group that was handed to the crew, and what was known of it."""

    group: Group
    known: Found


class Sweep:
    """Runs plans over the data; `full` holds the full model's rows after the first sweep.

    The crew may have several groups in hand at once. Their values are joined in the order of the groups, batch after
    batch; those of a candidate that a race has dropped by then are thrown away. So the rows are the same for any crew.
    """

    def __init__(self, data: Data, metrics: Sequence[Metric], engine: Engine, seed: int) -> None:
        self.likely: Sequence[Plan] = ()  # plans of the kind that will be run: the engine is chosen for them
        self.metrics = metrics
        self.full: Rows = {}
        self.crew: Crew = Local(Worker(engine, metrics))
        self._data = data
        self._seed = seed
        self._first = 0
        self._prepared = _Readiness()
        self._asked: tuple[str, ...] = (FULL,)

    def beside(self, data: Data) -> Sweep:
        """A sweep over other data by the same crew. Its batches are numbered on: a crew keeps values by number."""
        other = copy.copy(self)
        other.full, other._data, other._first = {}, data, self._first + len(self._data)
        return other

    def run(
        self, plans: Mapping[str, Plan], bar: Bar, *, part: Part, race: Race | None = None
    ) -> dict[str, tuple[Rows, Rows]]:
        """By name: the full and the edited model's rows, of the same examples; of fewer where a race stopped one.

        Raises MetricError, naming the plan, where a value is none.
        """
        self._asked = () if self.full else (FULL,)  # the full model is judged once
        parts: dict[str, list[Values]] = {name: [] for name in (*self._asked, *plans)}
        waiting: deque[_Asked] = deque()
        prints: dict[int, str] = {}

        def note(number: int, name: str, values: Values) -> None:
            part.note(number, name, prints[number], values)

        for found in self.crew.run(self._jobs(plans, part, race, waiting, prints), note):
            asked = waiting.popleft()
            if race is not None and not race.open:
                break
            for number, batch in asked.group:
                racing = list(plans) if race is None else [name for name in race.open if name in plans]
                if race is not None and not racing:
                    break
                for name in (*self._asked, *racing):
                    values = asked.known.get((number, name))
                    parts[name].append(found[number, name] if values is None else values)
                bar.advance(batch.examples)
                if race is not None:
                    self._look(race, parts)
        rows = {name: self._joined(values) for name, values in parts.items()}
        self.full = rows.get(FULL, self.full)
        return {name: (_first(self.full, rows[name]), rows[name]) for name in plans}

    def _jobs(
        self, plans: Mapping[str, Plan], part: Part, race: Race | None, waiting: deque[_Asked], prints: dict[int, str]
    ) -> Iterator[Job]:
        """What there is to do, group after group.

        `waiting` takes what the answer will be joined with, `prints` the fingerprint of each batch.
        """
        for group in self._groups(race):
            racing = plans if race is None else {name: plans[name] for name in race.open if name in plans}
            if race is not None and not racing:
                return
            names = (*self._asked, *racing)
            known = Found()
            metrics = [metric.name for metric in self.metrics]
            for number, batch in group:
                prints[number] = fingerprint(batch) if part.kept else ""
                for name in names:
                    values = part.value(number, name, prints[number], examples=batch.examples, of=metrics)
                    if values is not None:
                        known[number, name] = values
            todo = [each for each in group if any((each[0], name) not in known for name in names)]
            missing = {name for name in names for number, _ in todo if (number, name) not in known}
            if todo:
                self._prepare(todo)
            waiting.append(_Asked(group, known))
            wanted = {name: plan for name, plan in racing.items() if name in missing}
            yield Job(todo, wanted, FULL in missing, frozenset(known))

    def _groups(self, race: Race | None) -> Iterator[Group]:
        """The batches as many at once as the crew wants, but no more than the race wants before its next look.

        In the data's order; for a race, which trusts the first ones, in one drawn from the seed.
        """
        batches: Iterator[tuple[int, Batch]] = enumerate(self._data, start=self._first)
        if race is not None:
            kept = list(batches)
            random.Random(self._seed).shuffle(kept)
            batches = iter(kept)
        group, seen = Group(), 0
        for each in batches:
            due = race.due if race is not None else None
            began, seen = seen, seen + each[1].examples
            group.append(each)
            looks = due is not None and began < due <= seen
            if looks or len(group) >= (self.crew.group_size() if self._prepared.done else _TWO // each[1].examples):
                yield group
                group = Group()
        if group:
            yield group

    def _prepare(self, group: Group) -> None:
        if self._prepared.done:
            return
        self._prepared.done = True
        second = group[1][1] if len(group) > 1 else None
        self.crew.prepare(group[0][1], second, self.likely, _known_examples(self._data, group[0][1]))

    def _look(self, race: Race, parts: Mapping[str, list[Values]]) -> None:
        metric = self.metrics[0]
        if race.due is None or sum(map(_examples, parts[FULL])) < race.due:
            return
        full = self._joined(parts[FULL])[metric.name]
        race.look({name: costs(metric, full, self._joined(parts[name])[metric.name]) for name in race.open})

    def _joined(self, values: Sequence[Values]) -> Rows:
        return {metric.name: np.concatenate([each[metric.name] for each in values]) for metric in self.metrics}


def _first(full: Rows, edited: Rows) -> Rows:
    """The full model's rows of the examples that the edited one saw: the first ones."""
    return {name: rows[: len(edited[name])] for name, rows in full.items()}


def _examples(values: Values) -> int:
    return len(next(iter(values.values())))


def _known_examples(data: Data, first: Batch) -> int | None:
    try:
        return len(data) * first.examples
    except TypeError:
        return None
