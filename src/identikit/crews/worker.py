"""The work of a scan in one process: a job's batches run by the engine and judged, example by example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from identikit.batches import Batch, tensors_of
from identikit.crews.crew import FULL, Job, Values
from identikit.errors import MetricError
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric, rows_of
from identikit.replaying.budget import budget_on
from identikit.replaying.engine import Engine
from identikit.structure.valueless import home_of

_KEPT = 2**30  # bytes of the full model's outputs that stay for the next sweep


@dataclass(frozen=True)
class Recipe:
    """How an engine is made: the arguments of `Engine` beside the anatomy, so that other processes make the same.

    `shares`: how many processes share the memory of this machine.
    """

    sites: tuple[str, ...]
    seed: int
    asked: str
    memory: int | None
    keep: bool
    shares: int = 1

    def engine(self, anatomy: Anatomy) -> Engine:
        """The engine for the model of `anatomy`."""
        memory, device = self.memory, home_of(anatomy.model) or torch.device("cpu")
        if memory is None and self.shares > 1 and device.type == "cpu":
            memory = budget_on(device) // self.shares
        return Engine(anatomy, self.sites, seed=self.seed, asked=self.asked, memory=memory, keep=self.keep)


class Worker:
    """Works jobs off, one after the other. What a metric keeps of the full model's outputs stays for later jobs."""

    def __init__(self, engine: Engine, metrics: Sequence[Metric]) -> None:
        self.engine = engine
        self.metrics = metrics
        self._kept: dict[int, list[Any]] = {}
        self._room = _KEPT

    def values(self, job: Job) -> Iterator[tuple[int, str, Values]]:
        """(the batch's number, the plan's name, the values) of all that `job` asks for.

        Raises MetricError, naming the plan, where a value is none.
        """
        if not job.group:
            return
        names = {plan: name for name, plan in job.plans.items()}
        device = self.engine.passes.device
        group = [(number, batch.to(device)) for number, batch in job.group]
        references = {place: self._kept[number] for place, (number, _) in enumerate(group) if number in self._kept}
        full = job.full or len(references) < len(group)
        for plan, place, output in self.engine.outputs(group, list(job.plans.values()), full=full):
            number, batch = group[place]
            if plan is None:
                references[place] = [metric.reference(output, batch) for metric in self.metrics]
                self._keep(number, references[place])
            name = FULL if plan is None else names[plan]
            if (number, name) in job.known or (plan is None and not job.full):
                continue
            try:
                values = self._judge(output, batch, references[place])
            except MetricError as error:
                if plan is None:
                    raise
                raise MetricError(f"without {' + '.join(plan.places)}: {error}") from error
            yield number, name, values

    def _keep(self, number: int, references: list[Any]) -> None:
        size = sum(value.numel() * value.element_size() for value in tensors_of(references))
        if number not in self._kept and size <= self._room:
            self._kept[number] = references
            self._room -= size

    def _judge(self, output: Any, batch: Batch, references: list[Any]) -> Values:
        pairs = zip(self.metrics, references, strict=True)
        return {metric.name: rows_of(metric, output, batch, reference) for metric, reference in pairs}
