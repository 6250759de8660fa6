"""A crew of one: this process, its model and its engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from identikit.batches import Batch
from identikit.crews.crew import Found, Job, Note
from identikit.crews.worker import Worker
from identikit.plan import Plan


class Local:
    """Works off each job before it takes the next one."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    @property
    def name(self) -> str:
        """The engine in use."""
        return self.worker.engine.name

    @property
    def notes(self) -> Sequence[str]:
        """Where the model could not be replayed."""
        return self.worker.engine.notes

    def prepare(self, first: Batch, second: Batch | None, plans: Sequence[Plan], examples: int | None) -> None:
        """Choose an engine."""
        device = self.worker.engine.passes.device
        other = second.to(device) if second is not None else None
        self.worker.engine.prepare(first.to(device), other, plans, examples)

    def group_size(self) -> int:
        """How many batches the next job should hold."""
        return self.worker.engine.group_size()

    def run(self, jobs: Iterator[Job], note: Note) -> Iterator[Found]:
        """The values of each job."""
        for job in jobs:
            found = Found()
            for number, name, values in self.worker.values(job):
                found[number, name] = values
                note(number, name, values)
            yield found
