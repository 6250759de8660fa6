"""Ray's cluster: found or started, and how many workers with which devices fit onto it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from identikit.errors import WorkersError, needs_extra

_CORES = 4  # for each worker on processors: more threads add little to small layers


@dataclass(frozen=True)
class Crowd:
    """So many workers, each with a GPU of its own or with so many threads."""

    workers: int
    gpu: bool
    threads: int


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """The module `ray`, connected: to the program's own cluster, to the one at `address`, or to one started here.

    "local" starts one on this machine, which ends with the block; "auto" does so where none is found. Raises
    MissingExtraError without Ray, WorkersError where nobody answers at `address`.
    """
    if find_spec("ray") is None:
        raise needs_extra("Ray", "scale", "a scan on several processes (ray=...)")
    import ray

    if ray.is_initialized():
        yield ray
        return
    _connect(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def crowd(ray: Any, workers: int | None, device: torch.device | None) -> Crowd:
    """How many workers: one for each GPU, else one for four cores, two at least; `workers` where that is given.

    GPUs are left alone where the model is on the processor of a machine that has one. Raises WorkersError where the
    cluster has less than what is asked for.
    """
    resources = ray.cluster_resources()
    gpus, cores = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
    wanted = (device is not None and device.type == "cuda") or not torch.cuda.is_available()
    if gpus and wanted:
        _require(workers, gpus, "GPUs")
        return Crowd(workers or gpus, gpu=True, threads=1)
    _require(workers, cores, "cores")
    count = workers or min(cores, max(2, cores // _CORES))
    return Crowd(count, gpu=False, threads=cores // count)


def _require(workers: int | None, most: int, what: str) -> None:
    if workers is not None and not 1 <= workers <= most:
        raise WorkersError(f"workers={workers}: the cluster has {most} {what}. Ask for 1 to {most}.")


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        try:
            ray.init(address=address, **quiet)
            return
        except (ConnectionError, ValueError, RuntimeError) as cause:
            if address != "auto":
                first = (str(cause).strip().splitlines() or [""])[0]
                raise WorkersError(
                    f'no Ray cluster answers at "{address}": {first} Start one: ray start --head; or use ray="local".'
                ) from cause
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody unasked
    ray.init(address="local", include_dashboard=False, **quiet)
