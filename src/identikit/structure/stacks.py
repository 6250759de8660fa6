"""The stacks of a model: containers whose numbered children hand a stream on, the outermost ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from torch import nn

from identikit.structure.roles import Verdict


def numbered_children(module: nn.Module) -> list[str]:
    """The names 0, 1, 2... of a container's children, in order; empty where it has others too."""
    names = [name for name, child in module._modules.items() if child is not None]  # a layer may stand in two slots
    return names if names and all(name.isdecimal() for name in names) else []


def members(module: nn.Module) -> list[str]:
    """The names of the children that a container lines up: numbered ones, or those of a ModuleDict."""
    return list(module) if isinstance(module, nn.ModuleDict) else numbered_children(module)


def outermost_blocks(model: nn.Module, judge: Callable[[str], Verdict]) -> list[str]:
    """Every whole block: a container's member with a matrix of weights that is proved, and lies in no other such block.

    Where some members of a container are whole blocks and others are refused, a refused one is a layer of the same
    stack that must stay, and is not taken apart; unless it holds a stack itself. Then the members are stages (the first
    one keeps the shape, the others halve the picture), and the blocks are those of the stages.
    """
    return _blocks_in(model, "", judge, stacks_only=False)


def _blocks_in(module: nn.Module, path: str, judge: Callable[[str], Verdict], *, stacks_only: bool) -> list[str]:
    """The whole blocks inside; with `stacks_only` those that stand in a row with another one of their class."""
    children = dict(module.named_children())
    places = {name: f"{path}.{name}" if path else name for name in children}
    weighty = [name for name in members(module) if name in children and _has_matrix(children[name])]
    blocks = [name for name in weighty if judge(places[name]).ok]
    if stacks_only:
        kinds = Counter(type(children[name]) for name in blocks)
        blocks = [name for name in blocks if kinds[type(children[name])] > 1]
    inside = {
        name: _blocks_in(child, places[name], judge, stacks_only=stacks_only or (bool(blocks) and name in weighty))
        for name, child in children.items()
        if name not in blocks
    }
    if any(inside.get(name) for name in weighty):
        for name in blocks:
            inside[name] = _blocks_in(children[name], places[name], judge, stacks_only=True)
    return [found for name in children for found in inside.get(name) or ([places[name]] if name in blocks else [])]


def _has_matrix(module: nn.Module) -> bool:
    return any(parameter.ndim > 1 for parameter in module.parameters())


def stack_of(path: str) -> tuple[str, int] | None:
    """The container and the number of a numbered layer; None for a layer with a name."""
    parent, _, last = path.rpartition(".")
    return (parent, int(last)) if last.isdecimal() else None
