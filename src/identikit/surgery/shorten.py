"""Taking layers out for good: the container shortened, or a stand-in in the slot. Each change brings its own undo."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.compare import difference
from identikit.structure.per_layer import Cut, without_entries
from identikit.structure.stacks import numbered_children, stack_of
from identikit.surgery.check import NOT_RUN
from identikit.surgery.likeness import likeness_of, remember
from identikit.surgery.numbers import closed_up, renumber
from identikit.surgery.renumber import idle_layers, number_live_layers, warn_of_numbers_left
from identikit.surgery.replacements import Absent

Forwards = Mapping[str, Callable[..., Any]]


def in_stack(model: nn.Module, edit: Edit) -> bool:
    """Whether the edit takes a whole layer out of a container that can be shortened."""
    place = stack_of(edit.at)
    if place is None or edit.op != "identity":
        return False
    container = model.get_submodule(place[0])
    return isinstance(container, (nn.ModuleList, nn.Sequential)) and bool(numbered_children(container))


def shortened_or_stand_in(
    anatomy: Anatomy, edits: list[Edit], forwards: Forwards, expected: Any, undo: ExitStack
) -> tuple[list[Edit], str | None]:
    """Shorten the stacks of `edits` where the model then computes `expected`; the other slots get stand-ins.

    Where not all stacks can be shortened at once, each is tried by itself: whether it can does then not depend on what
    else goes in the same call. Returns the edits whose stacks were shortened; and, where the model does not compute
    `expected` with stand-ins either, the reason (maybe ""), the model then being as it was.
    """

    def tried(shortened: list[Edit], *, exact: bool = _on_cpu(anatomy.model)) -> tuple[ExitStack | None, str]:
        """What undoes it, or None and why it is undone already. Exact: the operations are the same, so the bits are."""
        cuts = [Cut(len(stack._modules), len(own)) for stack, own in _by_stack(anatomy.model, shortened)]
        with ExitStack() as mine:
            try:
                stand_in(anatomy.model, [edit for edit in edits if edit not in shortened], forwards, mine)
                _shorten_all(anatomy, shortened, mine)
            except NOT_RUN as cause:
                return None, _said(cause)
            same, why = same_output(anatomy, expected, exact=exact, cuts=cuts)
            return (mine.pop_all(), "") if same else (None, why)

    stacks = _by_stack(anatomy.model, edits)
    chosen, (done, why) = edits, tried(edits) if edits else (None, "")
    if done is None and len(stacks) > 1:
        chosen = [edit for _, own in stacks if _possible(*tried(own)) for edit in own]
        done, why = tried(chosen) if chosen else (None, why)
    if done is None:  # the parent picks its layers by number, so the slots must stay
        logging.getLogger(__name__).debug("the shortened model does not compute what the bypassed one does%s", why)
        chosen, (done, why) = [], tried([], exact=False)
    if done is None:
        return [], why
    undo.push(done)
    return chosen, None


def _possible(done: ExitStack | None, _: str) -> bool:
    """Whether a trial went well; it is undone."""
    if done is not None:
        done.close()
    return done is not None


def _by_stack(model: nn.Module, edits: list[Edit]) -> list[tuple[nn.Module, list[Edit]]]:
    """Each container with its edits, inner ones first: shortening one moves no later one. In two slots, it is one."""
    found: dict[int, tuple[nn.Module, list[Edit]]] = {}
    for edit in sorted(edits, key=_depth, reverse=True):
        container = model.get_submodule(edit.at.rpartition(".")[0])
        found.setdefault(id(container), (container, []))[1].append(edit)
    return list(found.values())


def _depth(edit: Edit) -> int:
    return edit.at.count(".")


def _on_cpu(model: nn.Module) -> bool:
    """Whether every operation gives the same bits each time (on an accelerator some do not)."""
    return all(value.device.type == "cpu" for value in model.parameters())


def same_output(anatomy: Anatomy, expected: Any, *, exact: bool = False, cuts: Sequence[Cut] = ()) -> tuple[bool, str]:
    """Whether the model, as it is now, computes `expected`; and, where it does not even run, why.

    Of what it collects layer by layer it lacks the entries of the layers that `cuts` took out.
    """
    try:
        actual = anatomy.run()
    except NOT_RUN as cause:
        return False, _said(cause)
    apart = difference(actual, expected)
    if apart == math.inf and cuts:
        apart = difference(actual, without_entries(expected, actual, cuts))
    return apart <= (0 if exact else 1), ""


def _said(cause: Exception) -> str:
    return f" ({' '.join(str(cause).split())})"


def stand_in(model: nn.Module, edits: list[Edit], forwards: Forwards, undo: ExitStack) -> None:
    """Put a stand-in without weights into the slot of every edited layer."""
    for edit in sorted(edits, key=_depth, reverse=True):  # inner ones first: the others' paths still hold
        parent_path, _, name = edit.at.rpartition(".")
        parent, layer = model.get_submodule(parent_path), model.get_submodule(edit.at)
        undo.callback(parent._modules.__setitem__, name, layer)
        absent = Absent(layer, forwards[edit.at])
        if edit.op == "zero":
            remember(absent, likeness_of(model, edit.at))
        parent._modules[name] = absent


def _shorten_all(anatomy: Anatomy, edits: list[Edit], undo: ExitStack) -> None:
    for stack, own in _by_stack(anatomy.model, edits):
        layers = {int(edit.at.rpartition(".")[2]) for edit in own}
        _shorten(anatomy, stack, own[0].at.rpartition(".")[0], sorted(layers), undo)


def _shorten(anatomy: Anatomy, stack: nn.Module, path: str, layers: list[int], undo: ExitStack) -> None:
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


def renumber_what_stays(anatomy: Anatomy, numbered: set[int], undo: ExitStack) -> None:
    """After a removal, the cache's first places belong to layers that still feed it.

    `numbered`: the stacks (by identity) that the removal touched and whose layers carried numbers.

    Where a layer's number is more than its place in the cache, the model would compute something else: then the numbers
    stay. Raises RoleError where no live layer can hold the first place.
    """
    model = anatomy.model
    stacks = [(path, stack) for path, stack in model.named_modules() if id(stack) in numbered]
    expected = anatomy.run() if stacks else None
    with ExitStack() as mine:
        changed = False
        for path, stack in stacks:
            if not stack._modules and anatomy.family.decodes(model, path) is not False:
                raise RoleError(f'"{path}" would be empty, and decoding with a cache would break. Keep one layer.')
            idle = idle_layers(stack, lambda module: False)
            changed = number_live_layers(anatomy, path, idle, mine, whole=False) or changed
        if changed and same_output(anatomy, expected)[0]:
            undo.push(mine.pop_all())
        elif changed:
            warn_of_numbers_left(anatomy, [f"{path}.0" for path, _ in stacks])
