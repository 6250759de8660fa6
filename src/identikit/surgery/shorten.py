"""Taking layers out for good: the container shortened, or a stand-in in the slot. Each change brings its own undo."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.compare import difference
from identikit.structure.stacks import numbered_children, stack_of
from identikit.surgery.renumber import closed_up, number_live_layers, renumber, silent_layers
from identikit.surgery.replacements import Absent

_NOT_RUN = (IndexError, KeyError, AttributeError, TypeError, ValueError, RuntimeError)


def in_stack(model: nn.Module, edit: Edit) -> bool:
    """Whether the edit takes a whole layer out of a container that can be shortened."""
    place = stack_of(edit.at)
    if place is None or edit.op != "identity":
        return False
    container = model.get_submodule(place[0])
    return isinstance(container, (nn.ModuleList, nn.Sequential)) and bool(numbered_children(container))


def shortened_equal(anatomy: Anatomy, edits: list[Edit], expected: Any, undo: ExitStack) -> bool:
    """Shorten the stacks; where the model then computes something else than `expected`, put them back and say False."""
    gone: dict[str, list[int]] = {}
    for edit in edits:
        stack, number = stack_of(edit.at) or ("", 0)
        gone.setdefault(stack, []).append(number)
    with ExitStack() as mine:
        try:
            for stack in sorted(gone, key=lambda path: -path.count(".")):  # inner stacks first: their paths still hold
                _shorten(anatomy, stack, gone[stack], mine)
        except _NOT_RUN as cause:
            logging.getLogger(__name__).debug("the stacks cannot be shortened: %s", cause)
            return False
        same, why = same_output(anatomy, expected, exact=_on_cpu(anatomy.model))  # the same operations: the same bits
        if same:
            undo.push(mine.pop_all())
        else:  # the parent picks its layers by number, so the slots must stay: stand-ins are tried next
            logging.getLogger(__name__).debug("the shortened model does not do%s", why)
    return same


def _on_cpu(model: nn.Module) -> bool:
    """Whether every operation gives the same bits each time (on an accelerator some do not)."""
    return all(value.device.type == "cpu" for value in model.parameters())


def same_output(anatomy: Anatomy, expected: Any, *, exact: bool = False) -> tuple[bool, str]:
    """Whether the model, as it is now, computes `expected`; and, where it does not even run, why."""
    try:
        return difference(anatomy.run(), expected) <= (0 if exact else 1), ""
    except _NOT_RUN as cause:
        return False, f" ({' '.join(str(cause).split())})"


def stand_in(model: nn.Module, edits: list[Edit], forwards: Mapping[str, Callable[..., Any]], undo: ExitStack) -> None:
    """Put a stand-in without weights into the slot of every edited layer."""
    for edit in edits:
        parent_path, _, name = edit.at.rpartition(".")
        parent, layer = model.get_submodule(parent_path), model.get_submodule(edit.at)
        undo.callback(parent._modules.__setitem__, name, layer)
        parent._modules[name] = Absent(layer, forwards[edit.at])


def _shorten(anatomy: Anatomy, path: str, layers: list[int], undo: ExitStack) -> None:
    stack = anatomy.model.get_submodule(path)
    before = dict(stack._modules)
    depth = len(before)
    keep = [layer for layer in range(depth) if layer not in layers]

    def hold(modules: Mapping[str, nn.Module | None]) -> None:
        stack._modules.clear()
        stack._modules.update(modules)

    undo.callback(renumber(stack, closed_up(depth, layers) | dict.fromkeys(layers, -1)))
    undo.callback(hold, before)
    hold({str(number): before[str(layer)] for number, layer in enumerate(keep)})
    undo.callback(anatomy.family.resize(anatomy.model, path, keep, depth))


def renumber_what_stays(anatomy: Anatomy, numbered: set[int], expected: Any, undo: ExitStack) -> None:
    """After a removal, the cache's first places belong to layers that still feed it.

    `numbered`: the stacks (by identity) that the removal touched and whose layers carried numbers.

    Where a layer's number is more than its place in the cache, the model would compute something else: then the numbers
    stay. Raises RoleError where no live layer can hold the first place.
    """
    model = anatomy.model
    with ExitStack() as mine:
        changed = False
        for path, stack in model.named_modules():
            if id(stack) not in numbered:
                continue
            if not len(stack._modules) and anatomy.family.decodes(model):
                raise RoleError(f'"{path}" would be empty, and decoding with a cache would break. Keep one layer.')
            dead = silent_layers(stack, lambda module: isinstance(module, Absent))
            dead |= {int(name) for name in numbered_children(stack) if isinstance(stack.get_submodule(name), Absent)}
            changed = number_live_layers(model, anatomy.family, path, dead, mine) or changed
        if changed and same_output(anatomy, expected)[0]:
            undo.push(mine.pop_all())
