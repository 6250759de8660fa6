"""What a healed model says of itself."""

from __future__ import annotations

from torch import nn

from identikit.results.healed import Healed
from identikit.structure.wrappers import unwrapped

_RECORD = "_identikit_healed"


def healed(model: nn.Module) -> Healed | None:
    """What `ik.heal` did to `model` the last time; None where it has not been healed. Prints as a table."""
    found = unwrapped(model).__dict__.get(_RECORD)
    return found if isinstance(found, Healed) else None


def record(model: nn.Module, what: Healed) -> None:
    """Let `model` say what was done to it."""
    model.__dict__[_RECORD] = what
