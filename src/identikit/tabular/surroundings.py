"""What a fit needs of its surroundings and leaves as it was: torch's settings, random state and number of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from identikit.errors import TableError
from identikit.turns import turn


@contextmanager
def usual_torch() -> Iterator[None]:
    """torch as it starts: float32, gradients, tensors on the CPU, whatever the caller has set or opened.

    These settings are the process's, so threads take turns.
    """
    with ExitStack() as stack:
        stack.enter_context(turn())
        before = torch.get_default_dtype()
        stack.callback(torch.set_default_dtype, before)
        torch.set_default_dtype(torch.float32)
        stack.enter_context(torch.inference_mode(False))  # under no_grad too, it lets gradients be computed
        if torch.get_default_device().type != "cpu":  # an open device context slows every operation
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Weights and dropout drawn from `seed` inside; outside, nobody's random numbers change. Threads take turns."""
    kind = "cuda" if device.type == "cpu" else device.type
    devices = range(torch.get_device_module(kind).device_count())
    with turn(), torch.random.fork_rng(devices=devices, device_type=kind):
        torch.manual_seed(seed)
        yield


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """`count` threads for torch's operations inside, at most one a processor (-1: so many); None changes nothing."""
    with turn():
        before, processors = torch.get_num_threads(), os.cpu_count() or 1
        if count is not None:
            torch.set_num_threads(min(count, processors) if count > 0 else max(1, processors + 1 + count))
        try:
            yield
        finally:
            torch.set_num_threads(before)


def device_named(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises TableError where there is no such device, and for "meta", which computes nothing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, TypeError) as cause:
        reason = str(cause).splitlines()[0]
        raise TableError(f'device={name!r} cannot be used ({reason}). Use "cpu", or "auto".') from cause
    return device
