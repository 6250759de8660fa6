"""The processes that torchrun started, or that use torch.distributed: who is here, and messages between them.

A process group of gloo's own carries the messages, beside any that the program has made: what is sent is small (a
number an example), and a default group would make libraries gather where they should not.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from identikit.errors import WorkersError

_ROLL_CALL = timedelta(minutes=10)  # between the first rank that wants to scan and the last
_PATIENCE = timedelta(hours=2)  # for one message: a rank may work on a group, or measure costs, as long as this
_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """This process's number, and how many there are. The first is 0: it alone writes files and prints."""

    rank: int
    size: int


class Ranks:
    """The other processes, by rank."""

    def __init__(self, world: World, group: Any) -> None:
        self.world = world
        self._group = group

    def send(self, message: Any, rank: int) -> None:
        """Raises WorkersError where `rank` is gone."""
        content = bytearray(pickle.dumps(message))
        self._pass(self._group.send, torch.tensor([len(content)]), rank)
        self._pass(self._group.send, torch.frombuffer(content, dtype=torch.uint8), rank)

    def receive(self, rank: int) -> Any:
        """The next message of `rank`. Raises WorkersError where it is gone."""
        length = torch.zeros(1, dtype=torch.int64)
        self._pass(self._group.recv, length, rank)
        content = torch.empty(int(length), dtype=torch.uint8)
        self._pass(self._group.recv, content, rank)
        return pickle.loads(content.numpy().tobytes())

    def _pass(self, way: Any, content: torch.Tensor, rank: int) -> None:
        try:
            way([content], rank, 0).wait()
        except RuntimeError as cause:
            raise WorkersError(
                f"rank {rank} of the scan was lost: it was killed, or its own error stands above. Go on with --resume."
            ) from cause


def world() -> World | None:
    """The ranks around this process, by torch.distributed or else torchrun's environment; None where it is alone."""
    if not distributed.is_available():
        return None
    if distributed.is_initialized():
        found = World(distributed.get_rank(), distributed.get_world_size())
    elif all(os.environ.get(name) for name in _NEEDED):
        found = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    else:
        return None
    return found if found.size > 1 else None


@contextmanager
def joined(world: World) -> Iterator[Ranks]:
    """All ranks, once every one of them has come here. Raises WorkersError where one does not."""
    base = _store(world)
    # every rank counts its own scans: all that are called by all have the same number, and a store of their own
    number = base.add(f"identikit/scans of rank {world.rank}", 1)
    store = distributed.distributed_c10d.PrefixStore(f"identikit/scan {number}", base)
    _roll_call(world, store)
    group = distributed.distributed_c10d.ProcessGroupGloo(store, world.rank, world.size, _PATIENCE)
    yield Ranks(world, group)


def _store(world: World) -> Any:
    if distributed.is_initialized():
        return distributed.distributed_c10d._get_default_store()
    from torch.distributed.rendezvous import rendezvous

    try:
        return next(rendezvous("env://", world.rank, world.size, timeout=_ROLL_CALL))[0]
    except RuntimeError as cause:
        first = str(cause).strip().splitlines()[0]
        raise WorkersError(f"the ranks do not find each other: {first} Start them with torchrun.") from cause


def _roll_call(world: World, store: Any) -> None:
    store.set(f"rank {world.rank}", "here")
    others = {rank: f"rank {rank}" for rank in range(world.size)}
    try:
        store.wait(list(others.values()), _ROLL_CALL)
    except RuntimeError as cause:
        absent = [str(rank) for rank, key in others.items() if not store.check([key])]
        raise WorkersError(
            f"rank {', '.join(absent)} of {world.size} did not come to this scan within "
            f"{_ROLL_CALL.seconds // 60} minutes. Call it on every rank, or leave the group before calling it on one."
        ) from cause
