"""Who measures: this process alone, Ray's workers, or the ranks that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from identikit.crews.member import Member
from identikit.crews.packed import Kit
from identikit.crews.rank_crew import End, RankCrew, helped
from identikit.crews.ranks import Ranks, joined, world
from identikit.crews.ray_cluster import cluster, crowd
from identikit.crews.ray_crew import RayCrew
from identikit.crews.worker import Worker
from identikit.errors import IdentikitError, ModelError, WorkersError
from identikit.scanning.prepare import Candidates
from identikit.structure.valueless import home_of

T = TypeVar("T")


def spread(found: Candidates, lead: Callable[[], T], *, ray: str | None, workers: int | None) -> T:
    """`lead()`, its sweeps worked off by whoever is there. Under torchrun only the first rank leads, the others help.

    `ray`: None, "auto", "local" or a cluster's address. Every rank gets what `lead` gave, or the error that it raised.
    Raises WorkersError where the others cannot be had or are lost.
    """
    here = world()
    if ray is None and workers is not None:
        raise WorkersError(f'workers={workers} is how many Ray workers there are. Give ray="auto" too.')
    if ray is not None and here is not None:
        raise WorkersError(f"torchrun has started {here.size} ranks already; they share the scan. Leave ray out.")
    if ray is not None and found.ledger.sweeps:
        return _by_ray(found, lead, ray, workers)
    if here is None:
        return lead()
    with joined(here) as ranks:
        if here.rank == 0:
            return _leading(found, lead, ranks)
        value: T = _helping(found, ranks)
        return value


def _by_ray(found: Candidates, lead: Callable[[], T], address: str, workers: int | None) -> T:
    anatomy = found.ledger.anatomy
    kit = Kit(anatomy.model, anatomy.batch, anatomy.family, found.metrics, found.recipe)
    with cluster(address) as ray:
        crew = RayCrew(ray, kit, crowd(ray, workers, home_of(anatomy.model)))
        found.ledger.hand_to(crew)
        try:
            return lead()
        finally:
            crew.close()


def _leading(found: Candidates, lead: Callable[[], T], ranks: Ranks) -> T:
    crew = RankCrew(ranks, _member(found))
    found.ledger.hand_to(crew)
    try:
        _require_same(found, ranks)
        value = lead()
    except BaseException as error:
        told = error if isinstance(error, IdentikitError) else WorkersError(f"rank 0 stopped: {type(error).__name__}")
        with suppress(WorkersError):  # a rank that is gone need not be told; what is raised is why the scan stopped
            crew.end(End(error=told))
        raise
    crew.end(End(value))
    return value


def _helping(found: Candidates, ranks: Ranks) -> Any:
    ranks.send(found.ledger.identity, 0)
    return helped(ranks, _member(found))


def _require_same(found: Candidates, ranks: Ranks) -> None:
    """Raise ModelError where a rank holds another model."""
    own = found.ledger.identity
    others = {rank: ranks.receive(rank) for rank in range(1, ranks.world.size)}
    for rank, other in others.items():
        if other != own:
            what = "other weights" if other.structure == own.structure else "another model"
            raise ModelError(f"rank {rank} holds {what} than rank 0. Load one checkpoint, or seed what is random.")


def _member(found: Candidates) -> Member:
    """The worker of this rank; on processors all ranks of a machine share its memory."""
    recipe = replace(found.recipe, shares=int(os.environ.get("LOCAL_WORLD_SIZE", "1")))

    def worker(asked: str) -> Worker:
        return Worker(replace(recipe, asked=asked or recipe.asked).engine(found.ledger.anatomy), found.metrics)

    return Member(worker)
