"""Layer numbers: the cache of earlier tokens is indexed by them, so the layers that stay must count from zero.

The numbers are found, not named: an integer attribute of the layers of a stack, or of modules inside them, that counts
up by one from layer to layer. Bypass and removal share this file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.stacks import numbered_children, stack_of

Undo = Callable[[], None]
Numbered = tuple[nn.Module, str, int]  # a module, the attribute, the number of the layer that it lies in


def layer_numbers(stack: nn.Module) -> list[Numbered]:
    """Every attribute in `stack` that holds the number of its layer."""
    values: dict[str, list[tuple[nn.Module, int, int]]] = defaultdict(list)
    for name in numbered_children(stack):
        for module in stack.get_submodule(name).modules():
            for attribute, value in vars(module).items():
                if type(value) is int:
                    values[attribute].append((module, value, int(name)))
    found: list[Numbered] = []
    for attribute, held in values.items():
        layers = {layer for _, _, layer in held}
        if len(layers) > 1 and all(value == layer for _, value, layer in held):
            found += [(module, attribute, layer) for module, _, layer in held]
    return found


def renumber(stack: nn.Module, numbers: dict[int, int]) -> Undo:
    """Give every layer the number that `numbers` says (old to new); returns the undo."""
    changed: list[tuple[nn.Module, str, int]] = []
    for module, attribute, layer in layer_numbers(stack):
        changed.append((module, attribute, vars(module)[attribute]))
        vars(module)[attribute] = numbers[layer]

    def undo() -> None:
        for module, attribute, value in changed:
            vars(module)[attribute] = value

    return undo


def renumbered_for(anatomy: Anatomy, edits: list[Edit], undo: ExitStack) -> bool:
    """Number the live layers of every stack that loses whole layers, so that a cache starts at a live one.

    What puts the numbers back goes onto `undo`. Returns whether there were numbers to change. Raises RoleError where
    no live layer can be the cache's first.
    """
    changed = False
    gone: dict[str, list[int]] = {}
    for edit in edits:
        place = stack_of(edit.at)
        if place is not None and edit.op == "identity":
            gone.setdefault(place[0], []).append(place[1])
    for path, layers in gone.items():
        stack = anatomy.model.get_submodule(path)
        depth = len(numbered_children(stack))
        if not layer_numbers(stack) or len(layers) == depth:
            continue
        facts = anatomy.family.layer_facts(anatomy.model, path, depth)
        numbers = live_first(facts, layers)
        first = next(layer for layer, number in numbers.items() if number == 0)
        if first in layers:
            raise RoleError(_no_first(path, [layer for layer in layers if facts[layer] == facts[first]], facts[first]))
        undo.callback(renumber(stack, numbers))
        changed = True
    return changed


def _no_first(stack: str, layers: list[int], kind: Any) -> str:
    named = " and ".join(f'"{stack}.{layer}"' for layer in sorted(layers))
    said = ", ".join(f"{name}={value}" for name, value in kind.items()) if isinstance(kind, dict) else kind
    return (
        f"{named} are all the layers of their kind ({said}), and the cache's first place is of that kind: with them "
        "bypassed, decoding with a cache would break. Use ik.remove, which renews the configuration."
    )


def closed_up(depth: int, gone: Sequence[int]) -> dict[int, int]:
    """The numbers after a removal: the layers that stay count from zero."""
    keep = [layer for layer in range(depth) if layer not in gone]
    return {layer: number for number, layer in enumerate(keep)}


def live_first(facts: Sequence[Any], gone: Sequence[int]) -> dict[int, int]:
    """The numbers during a bypass: the live layers take the lowest numbers among the layers of their own kind.

    `facts` says what the configuration tells of each layer (its attention type): a cache holds a slot of that kind at
    that number, so numbers are exchanged only between layers of one kind.
    """
    numbers: dict[int, int] = {}
    for kind in {repr(fact): fact for fact in facts}:
        layers = [layer for layer, fact in enumerate(facts) if repr(fact) == kind]
        order = [layer for layer in layers if layer not in gone] + [layer for layer in layers if layer in gone]
        numbers |= dict(zip(order, layers, strict=True))
    return numbers
