"""A crew of Ray actors: jobs go to whoever has room, those of a lost worker to another one, values come in order."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from identikit.batches import Batch
from identikit.crews.crew import Found, Job, Note
from identikit.crews.member import Done, Member, Ready, Setup
from identikit.crews.packed import Kit, packed, unpacked
from identikit.crews.ray_cluster import Crowd
from identikit.errors import IdentikitError, WorkersError
from identikit.plan import Plan

_AHEAD = 2  # jobs in hand a worker: it need not wait for the next one to arrive
_TRIES = 3  # a job that has killed so many workers is given up
_STALE = -1  # the number of a job whose answer nobody waits for any more
_PATIENCE = 1800.0  # seconds for a worker to come up: a cluster may have to start a machine first


@dataclass(eq=False)
class _Slot:
    """An actor and what it has in hand: the answers to come, by the number of the job."""

    actor: Any
    starting: Any  # the answer to `ready`; None once it is
    jobs: dict[Any, int] = field(default_factory=dict)


class RayCrew:
    """Workers on a cluster. The first to be ready chooses the engine; the others prove the same one on their own."""

    def __init__(self, ray: Any, kit: Kit, crowd: Crowd) -> None:
        self.name = "loop"
        self.notes: list[str] = []
        self._ray = ray
        self._kit = kit
        self._crowd = crowd
        self._slots: list[_Slot] = []
        self._lost = 0
        self._size = 1
        self._owner: dict[int, _Slot] = {}  # who had a batch last: it may have kept what it computed
        self._jobs: dict[int, Job] = {}  # not answered yet, by number
        self._left: list[int] = []  # of these, in nobody's hands
        self._answers: dict[int, Done | IdentikitError] = {}
        self._tries: Counter[int] = Counter()

    def prepare(self, first: Batch, second: Batch | None, plans: Sequence[Plan], examples: int | None) -> None:
        """Start the workers; the engine is chosen by the first one."""
        kit = replace(self._kit, recipe=replace(self._kit.recipe, shares=self._crowd.workers))
        self._packed = self._ray.put(packed(kit, self._ray.cloudpickle))
        self._setup = Setup.of(first, second, plans, examples)
        self._slots = [self._started()]
        while self._slots[0].starting is not None:
            self._wait()
        self._setup = replace(self._setup, asked=self.name)
        self._slots += [self._started() for _ in range(self._crowd.workers - 1)]

    def group_size(self) -> int:
        """How many batches the next job should hold."""
        return self._size

    def run(self, jobs: Iterator[Job], note: Note) -> Iterator[Found]:
        """The values of each job; jobs are taken ahead, so that no worker waits."""
        self._jobs, self._left, self._answers, self._tries = {}, [], {}, Counter()
        for slot in self._slots:  # what a race left behind
            slot.jobs = dict.fromkeys(slot.jobs, _STALE)
        taken = given = 0
        more = True
        while more or given < taken:
            while more and taken - given < _AHEAD * self._crowd.workers:
                job = next(jobs, None)
                if job is None:
                    more = False
                    break
                self._take(taken, job)
                taken += 1
            self._hand_out()
            if given in self._answers:
                answer = self._answers.pop(given)
                if isinstance(answer, IdentikitError):
                    raise answer
                given += 1
                yield answer.found
            elif given < taken:
                for answer in self._wait():
                    for (number, name), values in answer.found.items():
                        note(number, name, values)

    def close(self) -> None:
        """Let the workers go."""
        for slot in self._slots:
            self._ray.kill(slot.actor)
        self._slots = []

    def _take(self, number: int, job: Job) -> None:
        if job.group:
            self._jobs[number] = job.portable()
            self._left.append(number)
        else:
            self._answers[number] = Done({}, self._size)

    def _hand_out(self) -> None:
        """Jobs to workers with room, the earliest first: to who had the batch before, else to who has least to do."""
        self._left.sort()
        while self._left:
            free = [slot for slot in self._slots if slot.starting is None and len(slot.jobs) < _AHEAD]
            if not free:
                return
            number = self._left.pop(0)
            job = self._jobs[number]
            owner = self._owner.get(job.group[0][0])
            slot = owner if owner in free else min(free, key=lambda each: len(each.jobs))
            slot.jobs[slot.actor.values.remote(job)] = number
            self._owner[job.group[0][0]] = slot

    def _wait(self) -> list[Done]:
        """Wait until somebody answers or is lost; the values that arrived."""
        waiting = {ref: slot for slot in self._slots for ref in [*slot.jobs, slot.starting] if ref is not None}
        working = any(slot.jobs for slot in self._slots)
        ready, _ = self._ray.wait(list(waiting), timeout=None if working else _PATIENCE)
        if not ready:
            raise WorkersError(
                f"no Ray worker came up within {_PATIENCE / 60:.0f} minutes: the cluster is busy, or has no room."
            )
        arrived = []
        for ref in ready:
            slot = waiting[ref]
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayActorError as cause:
                self._gone(slot, cause)
                continue
            except self._ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from error
            if ref is slot.starting:
                self._up(slot, answer)
            else:
                arrived += self._answered(slot.jobs.pop(ref), answer)
        return arrived

    def _answered(self, number: int, answer: Done | IdentikitError) -> list[Done]:
        if number == _STALE:
            return []
        del self._jobs[number]
        self._answers[number] = answer
        if isinstance(answer, IdentikitError):
            return []
        self._size = answer.size
        return [answer]

    def _up(self, slot: _Slot, answer: Ready | IdentikitError) -> None:
        if isinstance(answer, IdentikitError):
            raise answer
        slot.starting = None
        if not self._setup.asked:  # the first one
            self.name, self._size = answer.name, answer.size
        self.notes += [each for each in answer.notes if each not in self.notes]

    def _gone(self, slot: _Slot, cause: Exception) -> None:
        """A worker is lost: its jobs go to the others, and a fresh one takes its place."""
        if slot not in self._slots:
            return
        self._lost += 1
        self._slots.remove(slot)
        again = [number for number in slot.jobs.values() if number != _STALE]
        self._left += again
        self._tries.update(again)
        if any(self._tries[number] >= _TRIES for number in again) or self._lost >= _TRIES * self._crowd.workers:
            raise WorkersError(
                f"{self._lost} Ray workers were lost, as if killed: most often the memory is full. Use a smaller "
                "--batch-size or fewer --workers, and go on with --resume."
            ) from cause
        self._slots.append(self._started())

    def _started(self) -> _Slot:
        crowd, remote = self._crowd, self._ray.remote(Actor)
        resources = {"num_gpus": 1} if crowd.gpu else {"num_cpus": crowd.threads}
        actor = remote.options(**resources).remote(self._packed, sys.path, crowd.gpu, crowd.threads)
        return _Slot(actor, actor.ready.remote(self._setup))


class Actor(Member):
    """A member of the crew in a process of Ray's."""

    def __init__(self, content: bytes, path: list[str], gpu: bool, threads: int) -> None:
        """`path`: where the driver finds modules; a user's own may stand beside the script."""
        sys.path += [each for each in path if each not in sys.path]
        if not gpu:
            torch.set_num_threads(threads)
        super().__init__(lambda asked: unpacked(content, "cuda" if gpu else "cpu").worker(asked))
