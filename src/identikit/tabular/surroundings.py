"""What a fit needs of its surroundings and leaves as it was: torch's random state and its number of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from identikit.errors import TableError


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Weights and dropout drawn from `seed` inside; outside, nobody's random numbers change."""
    kind = "cuda" if device.type == "cpu" else device.type
    devices = range(torch.get_device_module(kind).device_count())
    with torch.random.fork_rng(devices=devices, device_type=kind):
        torch.manual_seed(seed)
        yield


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """`count` threads for torch's operations inside (-1: one for each processor); None leaves the number as it is."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count if count > 0 else max(1, (os.cpu_count() or 1) + 1 + count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_named(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises TableError where there is no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as cause:
        reason = str(cause).splitlines()[0]
        raise TableError(f'device={name!r} cannot be used ({reason}). Use "cpu", or "auto".') from cause
    return device
