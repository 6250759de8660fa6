"""One reading of the data: group after group of batches, all plans on each, judged example by example."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from identikit.batches import Batch, fingerprint, tensors_of
from identikit.errors import MetricError
from identikit.metrics import Metric, rows_of
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.replaying.engine import Engine
from identikit.scanning.part import Part, Values
from identikit.scanning.race import Race
from identikit.scanning.statistics import costs
from identikit.sources.readings import Data

Rows = dict[str, Floats]  # metric to the rows of all examples seen
Group = list[tuple[int, Batch]]  # batches with their numbers in the data
FULL = ""  # the full model's name among the plans'
_KEPT = 2**30  # bytes of the full model's outputs that stay for the next sweep


class Sweep:
    """Runs plans over the data; `full` holds the full model's rows after the first sweep."""

    def __init__(self, data: Data, metrics: Sequence[Metric], engine: Engine, seed: int) -> None:
        self.likely: Sequence[Plan] = ()  # plans of the kind that will be run: the engine is chosen for them
        self.metrics = metrics
        self.full: Rows = {}
        self.engine = engine
        self._data = data
        self._seed = seed
        self._kept: dict[int, list[Any]] = {}
        self._room = _KEPT
        self._prepared = False
        self._asked: tuple[str, ...] = (FULL,)

    def run(
        self, plans: Mapping[str, Plan], bar: Bar, *, part: Part, race: Race | None = None
    ) -> dict[str, tuple[Rows, Rows]]:
        """By name: the full and the edited model's rows, of the same examples; of fewer where a race stopped one.

        Raises MetricError, naming the plan, where a value is none.
        """
        self._asked = () if self.full else (FULL,)  # the full model is judged once
        parts: dict[str, list[Values]] = {name: [] for name in (*self._asked, *plans)}
        batches = self._batches(shuffled=race is not None)
        while group := self._group(batches, race, sum(map(_examples, parts.get(FULL, [])))):
            racing = plans if race is None else {name: plans[name] for name in race.open if name in plans}
            if race is not None and not racing:
                break
            found = self._on(group, racing, part)
            for place, (_, batch) in enumerate(group):
                for name in (*self._asked, *racing):
                    parts[name].append(found[name, place])
                bar.advance(batch.examples)
            if race is not None:
                self._look(race, parts)
        rows = {name: self._joined(values) for name, values in parts.items()}
        self.full = rows.get(FULL, self.full)
        return {name: (_first(self.full, rows[name]), rows[name]) for name in plans}

    def _batches(self, *, shuffled: bool) -> Iterator[tuple[int, Batch]]:
        """The batches with their numbers; in an order drawn from the seed for a race, which trusts the first ones."""
        device = self.engine.passes.device
        numbered = ((number, batch.to(device)) for number, batch in enumerate(self._data))
        if not shuffled:
            return numbered
        kept = list(enumerate(self._data))
        random.Random(self._seed).shuffle(kept)
        return ((number, batch.to(device)) for number, batch in kept)

    def _group(self, batches: Iterator[tuple[int, Batch]], race: Race | None, seen: int) -> Group:
        """The next batches: as many as the engine takes at once, no more than the race wants before its next look."""
        size, group = self.engine.group_size(), Group()
        for each in batches:
            group.append(each)
            seen += each[1].examples
            if len(group) >= size or (race is not None and race.due is not None and seen >= race.due):
                break
        return group

    def _on(
        self, group: Group, plans: Mapping[str, Plan], part: Part
    ) -> dict[tuple[str, int], Values]:
        """The values of the full model and of each plan on each batch of a group, by name and place."""
        prints = [fingerprint(batch) if part.kept else "" for _, batch in group]
        found: dict[tuple[str, int], Values] = {}
        for place, (number, _) in enumerate(group):
            for name in (*self._asked, *plans):
                values = part.value(number, name, prints[place])
                if values is not None:
                    found[name, place] = values
        left = [place for place in range(len(group)) if any((name, place) not in found for name in (*self._asked, *plans))]
        if not left:
            return found
        missing = {name: plan for name, plan in plans.items() if any((name, place) not in found for place in left)}
        todo = [group[place] for place in left]
        self._prepare(todo)
        names = {plan: name for name, plan in missing.items()}
        for plan, place, values in self._judged(todo, list(missing.values())):
            key = FULL if plan is None else names[plan], left[place]
            if key not in found:
                found[key] = values
                part.note(todo[place][0], key[0], prints[left[place]], values)
        return found

    def _prepare(self, group: Group) -> None:
        if self._prepared:
            return
        self._prepared = True
        second = group[1][1] if len(group) > 1 else None
        self.engine.prepare(group[0][1], second, self.likely, _known_examples(self._data, group[0][1]))

    def _judged(self, group: Group, plans: list[Plan]) -> Iterator[tuple[Plan | None, int, Values]]:
        references = {place: self._kept[number] for place, (number, _) in enumerate(group) if number in self._kept}
        full = len(references) < len(group) or not self.full
        for plan, place, output in self.engine.outputs(group, plans, full=full):
            number, batch = group[place]
            if plan is None:
                references[place] = [metric.reference(output, batch) for metric in self.metrics]
                self._keep(number, references[place])
            try:
                yield plan, place, self._judge(output, batch, references[place])
            except MetricError as error:
                if plan is None:
                    raise
                raise MetricError(f"without {' + '.join(plan.places)}: {error}") from error

    def _keep(self, number: int, references: list[Any]) -> None:
        size = sum(value.numel() * value.element_size() for value in tensors_of(references))
        if number not in self._kept and size <= self._room:
            self._kept[number] = references
            self._room -= size

    def _judge(self, output: Any, batch: Batch, references: list[Any]) -> Values:
        pairs = zip(self.metrics, references, strict=True)
        return {metric.name: rows_of(metric, output, batch, reference) for metric, reference in pairs}

    def _look(self, race: Race, parts: Mapping[str, list[Values]]) -> None:
        metric = self.metrics[0]
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
