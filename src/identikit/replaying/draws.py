"""The state of every generator of random numbers that a forward may draw from: torch's, NumPy's, Python's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy
import torch


@dataclass(frozen=True, eq=False)
class Draws:
    """Where the generators stand; `!=` says whether something was drawn in between."""

    torch_state: torch.Tensor
    device_states: tuple[torch.Tensor, ...]
    python_state: Any
    numpy_state: Any

    @classmethod
    def now(cls) -> Draws:
        """The present state."""
        devices = tuple(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else ()
        return cls(torch.get_rng_state(), devices, random.getstate(), numpy.random.get_state())

    def put_back(self) -> None:
        """Let every generator stand here again."""
        torch.set_rng_state(self.torch_state)
        if self.device_states:
            torch.cuda.set_rng_state_all(list(self.device_states))
        random.setstate(self.python_state)
        numpy.random.set_state(self.numpy_state)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Draws):
            return NotImplemented
        pairs = zip((self.torch_state, *self.device_states), (other.torch_state, *other.device_states), strict=True)
        return (
            all(torch.equal(one, two) for one, two in pairs)
            and self.python_state == other.python_state
            and self.numpy_state[2] == other.numpy_state[2]
            and bool(numpy.array_equal(self.numpy_state[1], other.numpy_state[1]))
        )

    __hash__ = None  # type: ignore[assignment]  # tensors have no hash by value


def seed_all(seed: int, device: torch.device) -> None:
    """Every generator that a forward may draw from; of accelerators those in use: the others take a millisecond."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    if device.type == "cpu" and not torch.cuda.is_initialized():
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
