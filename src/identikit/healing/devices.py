"""Several processes and mixed precision, by accelerate; one process in float32 needs neither."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from identikit.errors import needs_extra


class Devices:
    """One process, in the weights' own precision."""

    rank, world = 0, 1

    def autocast(self) -> AbstractContextManager[Any]:
        """What the student's pass runs in."""
        return nullcontext()

    def mean_(self, gradients: Sequence[torch.Tensor]) -> None:
        """Give each process the mean over all of them, in place."""

    def agreed(self, value: float) -> float:
        """The first process's value, so that all of them do the same."""
        return value


class Accelerated(Devices):
    """The processes that torchrun or `accelerate launch` has started, each with the whole student, and bf16.

    Every process learns from batches of its own, and the gradients' mean is what each step is made of.
    """

    def __init__(self, accelerator: Any, device: torch.device) -> None:
        self._accelerator, self._device = accelerator, device
        self.rank, self.world = accelerator.process_index, accelerator.num_processes

    def autocast(self) -> AbstractContextManager[Any]:
        made: AbstractContextManager[Any] = self._accelerator.autocast()
        return made

    def mean_(self, gradients: Sequence[torch.Tensor]) -> None:
        if self.world == 1:
            return
        flat = self._accelerator.reduce(torch.cat([each.reshape(-1) for each in gradients]), reduction="mean")
        for each, mean in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
            each.copy_(mean.view_as(each))

    def agreed(self, value: float) -> float:
        if self.world == 1:
            return value
        from accelerate.utils import broadcast

        return float(broadcast(torch.tensor([value], dtype=torch.float32, device=self._device)).item())


def wanted() -> int:
    """How many processes have been started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def devices(device: torch.device, *, bf16: bool) -> Iterator[Devices]:
    """The processes and the precision that are wanted; what accelerate keeps for the whole process is put back behind.

    Raises MissingExtraError where they need accelerate, and it is not installed.
    """
    if wanted() == 1 and not bf16:
        yield Devices()
        return
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState, PartialState
    except ImportError as error:
        raise needs_extra("accelerate", "heal", "healing in bf16 or in several processes") from error
    kinds = (PartialState, AcceleratorState, GradientState)
    before = [dict(kind._shared_state) for kind in kinds]
    for kind in kinds:
        kind._shared_state.clear()
    try:
        made = Accelerator(mixed_precision="bf16" if bf16 else "no", cpu=device.type == "cpu", device_placement=False)
        yield Accelerated(made, device)
    finally:
        for kind, held in zip(kinds, before, strict=True):
            kind._shared_state.clear()
            kind._shared_state.update(held)
