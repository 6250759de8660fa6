"""Taking layers out for good: the container shortened, or a stand-in in the slot. Each change brings its own undo."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.compare import equal
from identikit.structure.stacks import numbered_children, stack_of
from identikit.surgery.renumber import closed_up, renumber
from identikit.surgery.replacements import Absent


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
        for stack, layers in gone.items():
            _shorten(anatomy, stack, layers, mine)
        try:
            same = equal(anatomy.run(), expected)
        except (IndexError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as cause:
            # The parent picks its layers by number, so the slots must stay: stand-ins are tried next.
            logging.getLogger(__name__).debug("the shortened model does not run: %s", cause)
            same = False
        if same:
            undo.push(mine.pop_all())
    return same


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
