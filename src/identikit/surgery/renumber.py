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
from identikit.families import Family
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit
from identikit.structure.stacks import numbered_children

Undo = Callable[[], None]
Numbered = tuple[nn.Module, str, int]  # a module, the attribute, the number of the layer that it lies in


def layer_numbers(stack: nn.Module) -> list[Numbered]:
    """Every attribute in `stack` that numbers its layers, counted from 0 or from 1.

    The numbers need not be in order: a layer that no longer feeds the cache has changed places with one that does.
    """
    values: dict[str, list[tuple[nn.Module, int, int]]] = defaultdict(list)
    for name in numbered_children(stack):
        for module in stack.get_submodule(name).modules():
            for attribute, value in vars(module).items():
                if type(value) is int:
                    values[attribute].append((module, value, int(name)))
    found: list[Numbered] = []
    for attribute, held in values.items():
        of_layer = {layer: value for _, value, layer in held}
        agree = len(of_layer) > 1 and all(value == of_layer[layer] for _, value, layer in held)
        if agree and sorted(of_layer.values()) in (sorted(of_layer), [layer + 1 for layer in sorted(of_layer)]):
            found += [(module, attribute, layer) for module, _, layer in held]
    return found


def renumber(stack: nn.Module, numbers: dict[int, int]) -> Undo:
    """Give every layer the number that `numbers` says (its place to the number); returns the undo."""
    found = layer_numbers(stack)
    first = {
        attribute: min(vars(module)[attribute] for module, name, _ in found if name == attribute)
        - min(layer for _, name, layer in found if name == attribute)
        for attribute in {attribute for _, attribute, _ in found}
    }
    changed: list[tuple[nn.Module, str, int]] = []
    for module, attribute, layer in found:
        changed.append((module, attribute, vars(module)[attribute]))
        vars(module)[attribute] = numbers[layer] + first[attribute]

    def undo() -> None:
        for module, attribute, value in changed:
            vars(module)[attribute] = value

    return undo


def renumbered_for(anatomy: Anatomy, edits: list[Edit], undo: ExitStack) -> bool:
    """During a bypass, number the layers of every stack so that a cache starts at a layer that still feeds it.

    What puts the numbers back goes onto `undo`. Returns whether there were numbers to change. Raises RoleError where
    no live layer can be the cache's first.
    """
    model = anatomy.model
    edited = {id(module) for edit in edits for module in model.get_submodule(edit.at).modules()}
    whole = {edit.at for edit in edits if edit.op == "identity"}
    changed = False
    for path in stacks_around([edit.at for edit in edits]):
        stack = model.get_submodule(path)
        dead = silent_layers(stack, lambda module: id(module) in edited)
        dead |= {int(name) for name in numbered_children(stack) if (f"{path}.{name}" if path else name) in whole}
        changed = number_live_layers(model, anatomy.family, path, dead, undo) or changed
    return changed


def stacks_around(paths: list[str]) -> list[str]:
    """Every container of numbered layers that one of `paths` lies in."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split(".")
        found |= dict.fromkeys(".".join(parts[:depth]) for depth, part in enumerate(parts) if part.isdecimal())
    return list(found)


def silent_layers(stack: nn.Module, out: Callable[[nn.Module], bool]) -> set[int]:
    """The layers of `stack` in which everything that carries the layer's number is `out` of action: no cache there."""
    carriers: dict[int, list[bool]] = defaultdict(list)
    for module, _, layer in layer_numbers(stack):
        carriers[layer].append(out(module))
    return {layer for layer, gone in carriers.items() if all(gone)}


def number_live_layers(model: nn.Module, family: Family, path: str, dead: set[int], undo: ExitStack) -> bool:
    """Give the live layers of the stack at `path` the cache's first places; returns whether a number was changed.

    Raises RoleError where the cache's first place can belong to no live layer, and the model decodes with a cache.
    """
    stack = model.get_submodule(path)
    depth = len(numbered_children(stack))
    if not dead or not layer_numbers(stack):
        return False
    facts = family.layer_facts(model, path, depth)
    numbers = live_first(facts, sorted(dead))
    first = next(layer for layer, number in numbers.items() if number == 0)
    if first in dead:
        if family.decodes(model):
            alike = [layer for layer in sorted(dead) if facts[layer] == facts[first]]
            raise RoleError(_no_first(path, alike, facts[first]))
        return False
    undo.callback(renumber(stack, numbers))
    return True


def _no_first(stack: str, layers: list[int], kind: Any) -> str:
    named = " and ".join(f'"{stack}.{layer}"' for layer in sorted(layers))
    if kind is None:
        return (
            f"without {named} no layer of this stack feeds the cache, from which the model reads its positions: "
            "decoding with a cache would break. Keep one of them."
        )
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
