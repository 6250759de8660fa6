"""The ledger of a scan or prune: each plan is measured once, its rows written down, and read back after a restart."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from identikit.confidence.race import Race
from identikit.crews.crew import Crew
from identikit.crews.local import Local
from identikit.crews.worker import Worker
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.replaying.engine import Engine
from identikit.results import Header, MetricInfo, Row, ScanResult
from identikit.scanning.filed import Filed
from identikit.scanning.headers import header_for, metric_info
from identikit.scanning.part import Part
from identikit.scanning.rows import cheap_rows, exact_rows, plan_json
from identikit.scanning.score import Score
from identikit.scanning.sweep import Sweep
from identikit.sources.readings import Data
from identikit.structure.fingerprints import Identity, identity_of
from identikit.surgery.install import install


@dataclass(frozen=True)
class Measuring:
    """How plans are measured. `race`: a candidate whose rank is settled sees no more examples; `least`: which border.

    `costs`: what each layer costs is measured too, for the header.
    """

    seed: int = 0
    confidence: float = 0.95
    race: bool = False
    least: int | None = None
    costs: bool = True


class Ledger:
    """Measures plans by sweeps over the data, and by a whole-model score, and keeps the rows in `result`."""

    def __init__(
        self, anatomy: Anatomy, data: Data | None, metrics: Sequence[Metric], score: Score | None, engine: Engine,
        how: Measuring,
    ) -> None:  # fmt: skip
        self.anatomy = anatomy
        self.engine = engine
        self.how = how
        self._data = data
        self._metrics = metrics
        self._score = score
        self._cheap: dict[str, tuple[MetricInfo, list[Row]]] = {}
        self._sweep = Sweep(data, metrics, engine, how.seed) if data is not None and metrics else None
        self._crew: Crew = self._sweep.crew if self._sweep is not None else Local(Worker(engine, ()))
        self._scored: dict[str, MetricInfo] = {}

    def hand_to(self, crew: Crew) -> None:
        """Let `crew` work out the values. Before anything is measured."""
        self._crew = crew
        if self._sweep is not None:
            self._sweep.crew = crew

    def beside(self, data: Data) -> Ledger:
        """A ledger of other data, with the same metrics, engine and crew; without a whole-model score."""
        how = replace(self.how, race=False, costs=False)  # what the layers cost stands in this one's header
        other = Ledger(self.anatomy, data, self._metrics, None, self.engine, how)
        other.identity, other._crew = self.identity, self._crew
        other._sweep = self._sweep.beside(data) if self._sweep is not None else None
        return other

    @functools.cached_property
    def identity(self) -> Identity:
        """Of the model, as it was when the files were taken; found out once, all weights are read for it."""
        return identity_of(self.anatomy.model)

    @property
    def sweeps(self) -> bool:
        """Whether there are values to work out: batches, and metrics that judge them."""
        return self._sweep is not None

    @property
    def result(self) -> ScanResult:
        """The rows so far."""
        return self._filed.result

    def include(self, name: str, values: Mapping[str, Floats], plans: Mapping[str, Plan]) -> None:
        """Cheap scores of candidates, [examples], become rows of a metric `name`. Before anything is measured."""
        self._cheap[name] = cheap_rows(name, values, plans, confidence=self.how.confidence, seed=self.how.seed)

    def open(
        self, paths: Sequence[str], *, to: Path | None, resume: bool, overwrite: bool, name: str, command: str
    ) -> None:
        """Take the files, before anything is measured; a file of another run is refused (ResultError, SaveError)."""
        self._named: dict[str, Any] = {"paths": list(paths), "name": name, "command": command}
        self._filed = Filed(to, resume=resume, overwrite=overwrite)
        self._part = Part(self._filed.part, self._run(), self._filed.lock)
        with ExitStack() as undo:
            undo.callback(self.close)  # a refusal leaves no file behind
            self._part.open(resume=resume, overwrite=overwrite)
            if self._score is not None:
                full = self._score_of_full(self._score)
                self._scored = {self._score.name: MetricInfo(self._score.higher_is_better, full)}
            if self._filed.stored is not None:
                self._filed.go_on(self._header(self._expected(self._filed.stored.header), costs=False))
            elif self._sweep is None:
                self._begin({})
            undo.pop_all()

    def close(self, *, done: bool = False) -> None:
        """Close the files; with `done` a file that is replaced gives way, and what was kept beside it goes."""
        try:
            self._filed.close(done=done)
        finally:
            self._part.close(done=done)

    def measure_all(
        self, plans: Mapping[str, Plan], bar: Bar, *, likely: Mapping[str, Plan] | None = None
    ) -> dict[str, dict[str, Row]]:
        """The rows of each plan by metric: from the result where they stand there, else measured and written down.

        `likely`: plans that will be measured later; the engine is chosen for them. `plans` where None.
        """
        if self._sweep is not None:
            new = {name for name, plan in plans.items() if not self._known(plan, self._metrics)}
            if new or not self._filed.begun:
                # rows of one sweep speak of each other (ties, ranks): cut short between them, all are made again
                todo = {name: plan for name, plan in plans.items() if name in new or self._part.holds(name)}
                self._sweep.likely = list((likely or plans).values())
                self._swept(self._sweep, todo, bar)
        if self._score is not None:
            for plan in plans.values():
                if not self._known(plan, [self._score]):
                    self._append([self._evaluated(self._score, plan)])
                    if self._part.scores:  # the result has a row, so it stays, and the full model's score with it
                        self._part.clear()
        return {name: self._rows_of(plan) for name, plan in plans.items()}

    def _swept(self, sweep: Sweep, plans: Mapping[str, Plan], bar: Bar) -> None:
        began = time.perf_counter()
        race = self._race(plans) if self.how.race else None
        found = sweep.run(plans, bar, part=self._part, race=race)
        infos = {
            metric.name: metric_info(metric, sweep.full[metric.name], self.how.confidence) for metric in self._metrics
        }
        self._begin(infos)
        seconds = (time.perf_counter() - began) / max(1, len(plans))
        for metric in self._metrics if found else ():
            rows = {name: (full[metric.name], edited[metric.name]) for name, (full, edited) in found.items()}
            how: dict[str, Any] = {"confidence": self.how.confidence, "seed": self.how.seed, "race": race}
            how |= {"ranked": race if metric is self._metrics[0] else None, "seconds": seconds}
            self._append(exact_rows(metric, rows, plans, engine=self._crew.name, **how))
        self._part.clear()

    def _race(self, plans: Mapping[str, Plan]) -> Race:
        examples = self._data.examples if self._data is not None else None
        return Race(list(plans), confidence=self.how.confidence, least=self.how.least, examples=examples)

    def _score_of_full(self, score: Score) -> float:
        """As it was measured before this run was cut short, else measured now and written down at once."""
        held = None
        if self._filed.stored is not None:
            header = self._filed.stored.header
            score.require_same(header.notes, "that result")
            held = header.metrics[score.name].full if score.name in header.metrics else None
        held = self._part.scores.get(score.name, held)
        if held is None:
            held = score(self.anatomy.model, self.how.seed)
            self._part.note_score(score.name, held)
        return held

    def _evaluated(self, score: Score, plan: Plan) -> Row:
        began = time.perf_counter()
        with install(self.anatomy, plan):  # a score may let the model generate
            value = score(self.anatomy.model, self.how.seed)
        full = self._scored[score.name].full
        seconds = time.perf_counter() - began
        return Row(plan.places, score.name, full, value, value - full, None, None, 0, "score", seconds, plan_json(plan))

    def _begin(self, infos: Mapping[str, MetricInfo]) -> None:
        """The scores of the full model are known: start the file, or compare with the one that is gone on with."""
        if self._filed.begun:
            self._filed.require_same(self._header({**self._expected(self.result.header), **infos}, costs=False))
            return
        cheap = {name: info for name, (info, _) in self._cheap.items()}
        self._filed.begin(self._header({**self._scored, **infos, **cheap}, costs=self.how.costs))
        for _, rows in self._cheap.values():
            self._append(rows)

    def _append(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row not in self.result:
                self.result.append(row)

    def _known(self, plan: Plan, metrics: Sequence[Metric | Score]) -> bool:
        """Whether the plan has a row of each of `metrics`."""
        return self._filed.begun and {metric.name for metric in metrics} <= self._rows_of(plan).keys()

    def _rows_of(self, plan: Plan) -> dict[str, Row]:
        keys = {Row(plan.places, name, 0.0, 0.0, 0.0, plan=plan_json(plan)).key for name in self.result.header.metrics}
        return {row.metric: row for row in self.result if row.key in keys}

    def _expected(self, stored: Header) -> dict[str, MetricInfo]:
        """This run's metrics with a stored header's scores: what can be compared before anything is measured."""
        own: dict[str, MetricInfo] = {}
        for metric in self._metrics if self._sweep is not None else ():
            held = stored.metrics.get(metric.name)
            interval, full = (held.interval, held.full) if held else ("none", 0.0)
            own[metric.name] = MetricInfo(metric.higher_is_better, full, interval, self.how.confidence)
        return {**self._scored, **own, **{name: info for name, (info, _) in self._cheap.items()}}

    def _header(self, metrics: Mapping[str, MetricInfo], *, costs: bool) -> Header:
        notes = [] if self._score is None else [self._score.note]
        notes += self._crew.notes
        return header_for(
            self.anatomy, data=self._data, metrics=metrics, seed=self.how.seed, notes=notes, costs=costs,
            identity=self.identity, **self._named,
        )  # fmt: skip

    def _run(self) -> dict[str, Any]:
        model, metrics = self.identity, ", ".join(metric.name for metric in self._metrics)
        run = {"model": model.structure, "weights": model.weights, "seed": self.how.seed, "metrics": metrics}
        run |= {} if self._score is None else {"score": f"{self._score.name} {self._score.code}".strip()}
        return run | {"race": self.how.race, "least": self.how.least, "confidence": self.how.confidence}
