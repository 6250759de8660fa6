"""One of several workers, in a process of its own: gets ready, works jobs off, hands errors back as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from identikit.batches import Batch
from identikit.crews.crew import Found, Job
from identikit.crews.local import Local
from identikit.crews.worker import Worker
from identikit.errors import IdentikitError
from identikit.plan import Plan


@dataclass(frozen=True)
class Setup:
    """What an engine is chosen for (replaying/engine.py), and which one is `asked` for."""

    first: Batch
    second: Batch | None
    plans: tuple[Plan, ...]
    examples: int | None
    asked: str = ""

    @classmethod
    def of(cls, first: Batch, second: Batch | None, plans: Sequence[Plan], examples: int | None) -> Setup:
        """As it can be sent: the batches in memory, wherever they lay here."""
        return cls(first.to("cpu"), second.to("cpu") if second is not None else None, tuple(plans), examples)


@dataclass(frozen=True)
class Ready:
    """A worker has chosen its engine: which one, and why not another. `size`: how many batches it wants at once."""

    name: str
    notes: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Done:
    """The values of a job, and how many batches the next one should hold."""

    found: Found
    size: int


class Member:
    """A worker that is told what to do. An error of identikit is an answer: it is raised where the rows are joined."""

    def __init__(self, worker: Callable[[str], Worker]) -> None:
        """`worker(asked)` makes the worker with the engine that is asked for ("": whichever the scan asks for)."""
        self._make = worker
        self._crew: Local | None = None

    def ready(self, setup: Setup) -> Ready | IdentikitError:
        """Choose an engine, and prove it in this process."""
        try:
            crew = Local(self._make(setup.asked))
            crew.prepare(setup.first, setup.second, setup.plans, setup.examples)
        except IdentikitError as error:
            return error
        self._crew = crew
        return Ready(crew.name, tuple(crew.notes), crew.group_size())

    def values(self, job: Job) -> Done | IdentikitError:
        """The values of a job."""
        assert self._crew is not None
        try:
            found = {(number, name): values for number, name, values in self._crew.worker.values(job)}
        except IdentikitError as error:
            return error
        return Done(found, self._crew.group_size())
