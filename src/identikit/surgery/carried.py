"""What an edited model carries about itself: the plan that made it, in the paths of the model first loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from identikit.plan import Plan
from identikit.structure.stacks import stack_of

_CARRIED = "_identikit"
_LIVE = "_identikit_live"


@dataclass(frozen=True)
class Carried:
    """The plan of a model whose layers were removed, and the configuration it was first loaded with.

    `shortened` says which numbers of which containers (first paths) are gone; the layers behind them moved up.
    """

    plan: Plan
    configuration: dict[str, Any] | None = None
    shortened: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def first_path(self, path: str) -> str:
        """The path that the layer now at `path` had in the model first loaded."""
        first: list[str] = []
        for part in path.split("."):
            gone = self.shortened.get(".".join(first), ())
            if part.isdecimal() and gone:
                number = int(part)
                for each in sorted(gone):
                    number += each <= number
                part = str(number)
            first.append(part)
        return ".".join(first)


def carried(model: nn.Module) -> Carried | None:
    """What `model` carries, or None for a model as it was loaded."""
    found = model.__dict__.get(_CARRIED)
    return found if isinstance(found, Carried) else None


def carry(model: nn.Module, what: Carried | None) -> None:
    """Let `model` carry `what` from now on."""
    if what is None:
        model.__dict__.pop(_CARRIED, None)
    else:
        model.__dict__[_CARRIED] = what


def live_plans(model: nn.Module) -> tuple[Plan, ...]:
    """The plans of the handles that are applied to `model` now."""
    return tuple(model.__dict__.get(_LIVE, ()))


def set_live(model: nn.Module, plans: tuple[Plan, ...]) -> None:
    """Note which plans are applied; none leaves no attribute behind."""
    if plans:
        model.__dict__[_LIVE] = plans
    else:
        model.__dict__.pop(_LIVE, None)


def first_paths(model: nn.Module, paths: list[str]) -> list[str]:
    """`paths` of the model as it is now, in the paths of the model first loaded."""
    history = carried(model)
    return [history.first_path(path) for path in paths] if history else paths


def shortened_by(history: Carried | None, paths: list[str]) -> dict[str, tuple[int, ...]]:
    """`history.shortened` with the layers at `paths` (first paths) gone too."""
    gone = dict(history.shortened) if history else {}
    for path in paths:
        place = stack_of(path)
        if place is not None:
            stack, number = place
            gone[stack] = tuple(sorted({*gone.get(stack, ()), number}))
    return gone
