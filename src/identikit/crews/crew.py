"""Who works out the values of a group of batches under some plans: what a sweep asks of one process or of many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from identikit.batches import Batch
from identikit.metrics.base import Floats
from identikit.plan import Plan

Values = dict[str, Floats]  # metric to the rows of one batch
FULL = ""  # the full model's name among the plans'
Group = list[tuple[int, Batch]]  # batches with their numbers in the data
Found = dict[tuple[int, str], Values]  # by the batch's number and the plan's name
Note = Callable[[int, str, Values], None]  # takes each value as soon as it is there


@dataclass(frozen=True)
class Job:
    """The batches of a group, and the plans whose values on them are wanted, by name; with `full` the full model's too.

    Without batches there is nothing to do. `known`: the batches and names that some wanted values are there of already.
    """

    group: Group = field(default_factory=list)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    full: bool = False
    known: frozenset[tuple[int, str]] = frozenset()

    def portable(self) -> Job:
        """The job as it can be sent: its batches in memory, wherever they lay here."""
        return replace(self, group=[(number, batch.to("cpu")) for number, batch in self.group])


class Crew(Protocol):
    """One process or many. `name` is the engine in use; `notes` say where a model could not be replayed."""

    @property
    def name(self) -> str: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def prepare(self, first: Batch, second: Batch | None, plans: Sequence[Plan], examples: int | None) -> None:
        """Choose an engine, once, before the first job (replaying/engine.py says what the arguments are)."""

    def group_size(self) -> int:
        """How many batches the next job should hold."""

    def run(self, jobs: Iterator[Job], note: Note) -> Iterator[Found]:
        """The values of each job, in the order of the jobs; several may be taken before the first is answered."""
