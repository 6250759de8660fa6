"""The cache of earlier tokens is indexed by the layers' numbers, and its first place must belong to a live layer.

Bypass and removal share this file.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.errors import IdentikitWarning, RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.stacks import members, stacks_around
from identikit.surgery.forwards import EditedForward
from identikit.surgery.numbers import layer_numbers, renumber, whole_numbers
from identikit.surgery.replacements import Absent


def renumbered_for(anatomy: Anatomy, edits: list[Edit], undo: ExitStack) -> bool:
    """During a bypass, number the layers of every stack so that a cache starts at a layer that still feeds it.

    Layers that an earlier handle has put out of action feed it as little as those of `edits`. What puts the numbers
    back goes onto `undo`. Returns whether there were numbers to change. Raises RoleError where no live layer can be
    the cache's first.
    """
    require_a_user(anatomy, edits)
    model = anatomy.model
    out = [module for module in model.modules() if _gone(vars(module).get("forward"))]
    whole_ones, edited = set(map(id, out)), {id(inner) for module in out for inner in module.modules()}
    changed = False
    for path in stacks_around(model, [edit.at for edit in edits]):
        if anatomy.family.decodes(model, path) is False:
            continue  # no cache; and what looks like a layer's number may be a stage's, which says where pooling is
        stack = model.get_submodule(path)
        idle = idle_layers(stack, lambda module: id(module) in edited)
        names = enumerate(members(stack))
        whole = {layer for layer, name in names if id(stack.get_submodule(name)) in whole_ones}
        changed = number_live_layers(anatomy, path, idle, undo, whole=idle.keys() <= whole) or changed
    return changed


def _gone(forward: Any) -> bool:
    return isinstance(forward, EditedForward) and not forward.runs


def require_a_user(anatomy: Anatomy, edits: list[Edit]) -> None:
    """Raise RoleError where the only layer of a stack is edited so that nothing in it feeds the cache any more.

    Of one layer alone nothing tells which attribute is its number: any 0 may be, where the model is known to decode.
    """
    model = anatomy.model
    edited = {id(module) for edit in edits for module in model.get_submodule(edit.at).modules()}
    for path in stacks_around(model, [edit.at for edit in edits]):
        names = members(model.get_submodule(path))
        if len(names) == 1 and anatomy.family.decodes(model, path):
            layer = model.get_submodule(path).get_submodule(names[0])
            users = [module for module in layer.modules() if 0 in whole_numbers(module).values()]
            inner = [one for one in users if not any(other is not one and other in users for other in one.modules())]
            if inner and all(id(module) in edited for module in inner):
                raise RoleError(_no_first('"' + f"{path}.{names[0]}".lstrip(".") + '"', None, whole=False))


def warn_of_numbers_left(anatomy: Anatomy, places: Iterable[str]) -> None:
    """Warn that the numbers were left because they mean more than a place; not where decoding is proved anyway."""
    if any(anatomy.family.decodes(anatomy.model, path) is None for path in stacks_around(anatomy.model, places)):
        message = (
            "the numbers of the layers that stay mean more than a place in the cache, so they were left: where the "
            "model reads its positions from the first place, decoding with a cache is wrong now."
        )
        warnings.warn(message, IdentikitWarning, stacklevel=7)


def idle_layers(stack: nn.Module, out: Callable[[nn.Module], bool]) -> dict[int, bool]:
    """The layers of `stack` in which something that carries the layer's number is `out` of action or removed.

    True where all of it is: no cache there. Where only some of it is, what is left may use the cache or not; such
    layers come first. A module that only hands its number down to one inside it does not count.
    """
    carriers = {id(one.module): (one.module, one.layer) for one in layer_numbers(stack)}
    users: dict[int, list[bool]] = defaultdict(list)
    for module, layer in carriers.values():
        if not any(id(inner) in carriers for inner in module.modules() if inner is not module):
            users[layer].append(out(module) or isinstance(module, Absent))
    idle = {layer: all(gone) for layer, gone in users.items() if any(gone)}
    return dict(sorted(idle.items(), key=lambda item: (item[1], item[0])))


def number_live_layers(anatomy: Anatomy, path: str, idle: dict[int, bool], undo: ExitStack, *, whole: bool) -> bool:
    """Give the live layers of the stack at `path` the cache's first places; returns whether a number was changed.

    `idle`: see `idle_layers`. `whole`: they could be removed and the configuration renewed. Raises RoleError where the
    cache's first place can belong to no live layer, and the model decodes with a cache.
    """
    model, family = anatomy.model, anatomy.family
    stack = model.get_submodule(path)
    if not idle:
        return False
    names = members(stack)
    facts = family.layer_facts(model, path, len(names))
    numbers = live_first(facts, list(idle))
    first = next(layer for layer, number in numbers.items() if number == 0)
    if idle.get(first):
        if family.decodes(model, path) is not False:
            dead = sorted(layer for layer, gone in idle.items() if gone)
            alike = [layer for layer in dead if facts[layer] == facts[first]]
            none_left = set(dead) >= {one.layer for one in layer_numbers(stack)}
            named = " and ".join(f'"{path}.{names[layer]}"' if path else f'"{names[layer]}"' for layer in alike)
            raise RoleError(_no_first(named, None if none_left else facts[first], whole))
        return False
    undo.callback(renumber(stack, numbers))
    return True


def _no_first(named: str, kind: Any, whole: bool) -> str:
    if kind is None:
        return (
            f"without {named} no layer of this stack feeds the cache, from which the model reads its positions: "
            "decoding with a cache would break. Keep one of them."
        )
    said = ", ".join(f"{name}={value}" for name, value in kind.items()) if isinstance(kind, dict) else kind
    return f"{named} are all the layers of their kind ({said}), and the cache's first place is of that kind: " + (
        "with them bypassed, decoding with a cache would break. Use ik.remove, which renews the configuration."
        if whole
        else "with what feeds it gone, decoding with a cache would break. Keep one of them, or remove the whole layers."
    )


def live_first(facts: Sequence[Any], gone: Sequence[int]) -> dict[int, int]:
    """The numbers during a bypass: the live layers take the lowest numbers among the layers of their own kind.

    `facts` says what the configuration tells of each layer (its attention type): a cache holds a slot of that kind at
    that number, so numbers are exchanged only between layers of one kind.
    """
    numbers: dict[int, int] = {}
    for kind in {repr(fact): fact for fact in facts}:
        layers = [layer for layer, fact in enumerate(facts) if repr(fact) == kind]
        order = [layer for layer in layers if layer not in gone] + [layer for layer in gone if layer in layers]
        numbers |= dict(zip(order, layers, strict=True))
    return numbers
