"""A crew of ranks: the first one hands out the jobs, a group to each in turn, and works on one itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from identikit.batches import Batch
from identikit.crews.crew import Found, Job, Note
from identikit.crews.member import Done, Member, Ready, Setup
from identikit.crews.ranks import Ranks
from identikit.errors import IdentikitError, WorkersError
from identikit.plan import Plan


@dataclass(frozen=True)
class End:
    """The scan is over: what it gave, or why it stopped."""

    value: Any = None
    error: IdentikitError | None = None


class RankCrew:
    """What the first rank does: every rank gets each so-many-th group, itself included."""

    def __init__(self, ranks: Ranks, member: Member) -> None:
        self.name = "loop"
        self.notes: list[str] = []
        self._ranks = ranks
        self._member = member
        self._size = 1
        self._busy: set[int] = set()  # the ranks whose answer is to come

    def prepare(self, first: Batch, second: Batch | None, plans: Sequence[Plan], examples: int | None) -> None:
        """This rank chooses the engine; the others prove the same one on their device."""
        setup = Setup.of(first, second, plans, examples)
        self._up(self._member.ready(setup))
        others = range(1, self._ranks.world.size)
        for rank in others:
            self._tell(replace(setup, asked=self.name), rank)
        for answer in [self._heard(rank) for rank in others]:
            self._up(answer)

    def group_size(self) -> int:
        """How many batches the next job should hold."""
        return self._size

    def run(self, jobs: Iterator[Job], note: Note) -> Iterator[Found]:
        """The values of each job; one job for each rank is taken at a time."""
        while taken := list(islice(jobs, self._ranks.world.size)):
            work = [job for job in taken if job.group]
            for rank, job in enumerate(work[1:], start=1):
                self._tell(job.portable(), rank)
            answers = iter(
                [self._member.values(work[0]), *(self._heard(rank) for rank in range(1, len(work)))] if work else []
            )
            found = [next(answers) if job.group else Done({}, self._size) for job in taken]
            for answer in found:
                if isinstance(answer, IdentikitError):
                    raise answer
                for (number, name), values in answer.found.items():
                    note(number, name, values)
                yield answer.found

    def end(self, end: End) -> None:
        """Tell every rank how the scan ended. An answer that nobody waits for any more is heard and left."""
        for rank in range(1, self._ranks.world.size):
            if rank in self._busy:
                self._heard(rank)
            self._tell(end, rank)

    def _up(self, answer: Ready | IdentikitError) -> None:
        if isinstance(answer, IdentikitError):
            raise answer
        if not self.notes and self.name == "loop":
            self.name = answer.name
        self._size = answer.size
        self.notes += [each for each in answer.notes if each not in self.notes]

    def _tell(self, message: Any, rank: int) -> None:
        self._ranks.send(message, rank)
        self._busy.add(rank)

    def _heard(self, rank: int) -> Any:
        self._busy.discard(rank)
        return self._ranks.receive(rank)


def helped(ranks: Ranks, member: Member) -> Any:
    """What every other rank does: what it is told, until the end. Returns what the scan gave; raises why it stopped."""
    while True:
        message = ranks.receive(0)
        if isinstance(message, End):
            if message.error is not None:
                raise message.error
            return message.value
        try:
            answer = member.ready(message) if isinstance(message, Setup) else member.values(message)
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            ranks.send(WorkersError(f"rank {ranks.world.rank} failed: {type(error).__name__}: {first}"), 0)
            raise
        ranks.send(answer, 0)
