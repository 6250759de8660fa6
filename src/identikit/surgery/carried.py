"""What an edited model carries about itself: the plan that made it, in the paths of the model first loaded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from identikit.places import natural_key
from identikit.plan import GROWING, Plan
from identikit.structure.wrappers import unwrapped

_CARRIED = "_identikit"
_LIVE = "_identikit_live"


@dataclass(frozen=True)
class Carried:
    """The plan of a model whose layers were removed or copied, and the configuration it was first loaded with.

    `shortened` says which layers of which containers (first paths) are gone; the layers behind them moved up. A layer
    that was put in has a first path too: "layers.3+1" is the first new one behind "layers.3". Which there are is in
    the plan.
    """

    plan: Plan
    configuration: dict[str, Any] | None = None
    shortened: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)

    def first_path(self, path: str) -> str:
        """The path that the layer now at `path` had in the model first loaded (or its name as a new layer)."""
        first: list[str] = []
        for part in path.split("."):
            stack = ".".join(first)
            numbered = part.isdecimal() and self._changed(stack)
            first.append(next(itertools.islice(self._present(stack), int(part), None)) if numbered else part)
        return ".".join(first)

    def present_path(self, first: str) -> str:
        """The inverse of `first_path`, for a layer that is still there."""
        present: list[str] = []
        parts = first.split(".")
        for depth, part in enumerate(parts):
            stack = ".".join(parts[:depth])
            names = self._present(stack) if _base(part).isdecimal() and self._changed(stack) else None
            present.append(part if names is None else str(next(at for at, name in enumerate(names) if name == part)))
        return ".".join(present)

    def _changed(self, stack: str) -> bool:
        start = f"{stack}." if stack else ""
        return bool(self.shortened.get(stack)) or any(_within(at, start) for at in self._new)

    @property
    def _new(self) -> dict[str, int]:
        """How many layers were put in behind each layer."""
        return {edit.at: int(dict(edit.options).get("count") or 1) for edit in self.plan if edit.op in GROWING}

    def _present(self, stack: str) -> Iterator[str]:
        """The first names of the layers of `stack` as they stand now, without end."""
        new, gone = self._new, {str(each) for each in self.shortened.get(stack, ())}
        start = f"{stack}." if stack else ""

        def with_new(name: str) -> Iterator[str]:
            yield name
            for number in range(1, new.get(start + name, 0) + 1):
                yield from with_new(f"{name}+{number}")

        every = (name for number in itertools.count() for name in with_new(str(number)))
        return (name for name in every if name not in gone)


def _base(name: str) -> str:
    """The layer that a new one stands behind: "3" for "3+1"."""
    return name.partition("+")[0]


def _within(path: str, start: str) -> bool:
    """Whether `path` is a numbered child (or a new one) right under `start`."""
    return path.startswith(start) and _base(path[len(start) :]).isdecimal()


def carried(model: nn.Module) -> Carried | None:
    """What `model` carries, or None for a model as it was loaded."""
    found = unwrapped(model).__dict__.get(_CARRIED)
    return found if isinstance(found, Carried) else None


def carry(model: nn.Module, what: Carried | None) -> None:
    """Let `model` carry `what` from now on."""
    if what is None:
        model.__dict__.pop(_CARRIED, None)
    else:
        model.__dict__[_CARRIED] = what


def live_plans(model: nn.Module) -> tuple[Plan, ...]:
    """The plans of the handles that are applied to `model` now."""
    return tuple(unwrapped(model).__dict__.get(_LIVE, ()))


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


def shortened_by(history: Carried | None, paths: list[str]) -> dict[str, tuple[int | str, ...]]:
    """`history.shortened` with the layers at `paths` (first paths) gone too."""
    gone = dict(history.shortened) if history else {}
    for path in paths:
        stack, _, name = path.rpartition(".")
        if _base(name).isdecimal():
            every: set[int | str] = {*gone.get(stack, ()), int(name) if name.isdecimal() else name}
            gone[stack] = tuple(sorted(every, key=lambda each: natural_key(str(each))))
    return gone
