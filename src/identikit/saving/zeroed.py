"""Removed branches in a plain checkpoint: the whole layer with zeros for weights, which adds nothing to the stream.

Such a checkpoint has the full configuration, loads anywhere, and computes what the model without the branches does; it
is no smaller in memory and no faster. The plan form is. The proof is the usual one: loaded again, outputs compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from identikit.errors import SaveError
from identikit.families import Family, family_of
from identikit.plan import Plan
from identikit.surgery.carried import carried, carry, first_paths
from identikit.surgery.choose import ASKED
from identikit.surgery.likeness import Likeness, remembered, zeros_like
from identikit.surgery.remove import remove

_PLAN_INSTEAD = 'Save the plan instead: format="plan" (--format plan).'


def zeroed_places(model: nn.Module) -> tuple[str, ...]:
    """The removed branches (paths of the model first loaded) that a checkpoint of `model` has to hold as zeros."""
    return tuple(first_paths(model, [path for path, _ in _stand_ins(model)]))


def told(places: tuple[str, ...]) -> str:
    """What a user should know of a checkpoint with zeros at `places`."""
    count = "1 sub-layer is" if len(places) == 1 else f"{len(places)} sub-layers are"
    return (
        f"{count} zeroed in this checkpoint ({', '.join(places)}): it loads anywhere and computes as without, but no "
        'faster. For the speed-up save format="plan" (--format plan).'
    )


@contextmanager
def zeros_in_place(model: nn.Module) -> Iterator[None]:
    """Inside, every removed branch is back as it was built, with zeros for weights.

    Raises SaveError where a weight of it is used by another layer too, which zeros would change.
    """
    held: list[tuple[dict[str, nn.Module | None], str, nn.Module | None]] = []
    weights = [value for value in model.parameters() if not value.is_meta]
    device = weights[0].device if weights else torch.device("cpu")
    dtypes = {value.dtype for value in weights if value.is_floating_point()}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    try:
        for path, likeness in _stand_ins(model):
            _refuse_shared(model, path, likeness)
            parent, _, name = path.rpartition(".")
            slots = model.get_submodule(parent)._modules
            held.append((slots, name, slots[name]))
            slots[name] = zeros_like(likeness, device, dtype)
            _fill_inside(slots[name], device, dtype)
        yield
    finally:
        for slots, name, module in reversed(held):
            slots[name] = module


def take_out_zeroed(model: nn.Module, plan: Plan, inputs: Any, family: Family | None) -> None:
    """Take the branches out of a model that was loaded with zeros for their weights; `plan` is what it carries.

    Where no example of the input is known they stay, computing zeros, and are no longer part of what it carries.
    """
    history = carried(model)
    zeroed = frozenset(replace(edit, options=(ASKED,)) for edit in plan if edit.op == "zero")
    if not zeroed or history is None:
        return
    carry(model, replace(history, plan=replace(plan, edits=frozenset(edit for edit in plan if edit.op != "zero"))))
    if inputs is not None or family_of(model, family).example(model) is not None:
        remove(model, replace(plan, edits=zeroed, weights=""), inputs=inputs, family=family)
        after = carried(model)
        carry(model, replace(after or history, plan=plan))


def _fill_inside(made: nn.Module | None, device: torch.device, dtype: torch.dtype | None) -> None:
    """Branches that were removed from the inside of a branch before it went itself."""
    for path, likeness in _stand_ins(made) if made is not None else []:
        parent, _, name = path.rpartition(".")
        inner = zeros_like(likeness, device, dtype)
        made.get_submodule(parent)._modules[name] = inner  # type: ignore[union-attr]
        _fill_inside(inner, device, dtype)


def _stand_ins(model: nn.Module) -> list[tuple[str, Likeness]]:
    every = ((path, remembered(module)) for path, module in model.named_modules(remove_duplicate=False))
    return [(path, likeness) for path, likeness in every if path and likeness is not None]


def _refuse_shared(model: nn.Module, path: str, likeness: Likeness) -> None:
    history = carried(model)
    live = {history.first_path(name) if history else name for name, _ in model.named_parameters(remove_duplicate=False)}
    for name, others in likeness.shared.items():
        other = next((each for each in others if each in live), None)
        if other is not None:
            (place,) = first_paths(model, [path])
            raise SaveError(
                f'"{place}" was removed, but its {name} is also {other}: a checkpoint would have to set that to zero '
                f"too. {_PLAN_INSTEAD}"
            )
