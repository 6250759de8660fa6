"""A batch whose pass was recorded, with the states that branches of it were found to be in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from identikit.batches import Batch
from identikit.plan import Edit
from identikit.replaying.recording import Recording, Step
from identikit.structure.trees import leaves

Gone = frozenset[Edit]
State = Any  # what a layer returned, of which only what is read later is kept


@dataclass(eq=False)
class Recorded:
    """One batch of the pool: its pass recorded, and the states that are known, by position and what is gone before."""

    batch: Batch
    number: int
    recording: Recording
    known: dict[tuple[int, Gone], State] = field(default_factory=dict)
    computed: bool = True  # the full model's layers were; else the pass is a skeleton

    def __post_init__(self) -> None:
        self.steps: dict[str, Step] = {step.path: step for step in self.recording.steps if step.kwargs is not None}

    def bytes(self) -> int:
        """The memory of the recording and of the states that are known."""
        held = self.recording.tensors()
        return bytes_of(held) + sum(
            bytes_of(state) for (_, gone), state in self.known.items() if gone or not self.computed
        )


def bytes_of(state: State) -> int:
    """The memory of a state."""
    tensors = [leaf for _, leaf in leaves(state) if isinstance(leaf, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
