"""The stacks of a model: containers whose numbered children hand a stream on, the outermost ones."""

from __future__ import annotations

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
    """Every whole block: a container's member with weights that is proved, and lies inside no other such block.

    Where some members of a container are whole blocks and others are refused, the refused ones are not looked into:
    they are layers of the same stack that must stay.
    """
    found: list[str] = []

    def visit(module: nn.Module, path: str) -> None:
        places = {name: f"{path}.{name}" if path else name for name, _ in module.named_children()}
        own = [name for name in members(module) if name in places]  # a layer's second slot is no layer of its own
        weighty = [name for name in own if any(True for _ in module.get_submodule(name).parameters())]
        blocks = {name for name in weighty if judge(places[name]).ok}
        for name, child in module.named_children():
            if name in blocks:
                found.append(places[name])
            elif name not in weighty or not blocks:
                visit(child, places[name])

    visit(model, "")
    return found


def stack_of(path: str) -> tuple[str, int] | None:
    """The container and the number of a numbered layer; None for a layer with a name."""
    parent, _, last = path.rpartition(".")
    return (parent, int(last)) if last.isdecimal() else None
