"""The stacks of a model: containers whose numbered children hand a stream on, the outermost ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from torch import nn

from identikit.structure.members import members as members
from identikit.structure.members import numbered_children as numbered_children
from identikit.structure.packed import has_matrix
from identikit.structure.roles import Verdict


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
    weighty = [name for name in members(module) if name in children and has_matrix(children[name])]
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


def stack_of(path: str) -> tuple[str, int] | None:
    """The container and the number of a numbered layer; None for a layer with a name."""
    parent, _, last = path.rpartition(".")
    return (parent, int(last)) if last.isdecimal() else None


def stacks_around(model: nn.Module, paths: Iterable[str]) -> list[str]:
    """Every container that lines up layers, and in which one of `paths` lies."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split(".")
        above = [(".".join(parts[:depth]), part) for depth, part in enumerate(parts)]
        found |= dict.fromkeys(outer for outer, part in above if part in members(model.get_submodule(outer)))
    return list(found)
