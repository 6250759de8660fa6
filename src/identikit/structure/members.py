"""Which children a container lines up, one behind the other: numbered ones, with or without a word in front."""

from __future__ import annotations

import re

from torch import nn

_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)
_NUMBERED = re.compile(r"(.*?\D)(\d+)")


def numbered_children(module: nn.Module) -> list[str]:
    """The names 0, 1, 2... of a container's children, in order; empty where it has others too."""
    names = [name for name, child in module._modules.items() if child is not None]  # a layer may stand in two slots
    return names if names and all(name.isdecimal() for name in names) else []


def members(module: nn.Module) -> list[str]:
    """The names of the children that a container lines up: numbered ones, or those of a ModuleDict.

    `encoder_layer_0, encoder_layer_1, ...` are numbered too, where there is nothing else: layers with layers inside,
    in the order of their numbers. (`fc1, fc2` are parts that belong together; `stage1, stage2`, containers themselves,
    are stages.)
    """
    if isinstance(module, nn.ModuleDict):
        return list(module)
    return numbered_children(module) or _named_and_numbered(module)


def _named_and_numbered(module: nn.Module) -> list[str]:
    children = {name: child for name, child in module._modules.items() if child is not None}
    found = [_NUMBERED.fullmatch(name) for name in children]
    if not all(found) or len({each[1] for each in found if each}) != 1:
        return []
    numbers = [int(each[2]) for each in found if each]
    in_order = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    layers = all(any(child.children()) and not isinstance(child, _CONTAINERS) for child in children.values())
    return list(children) if in_order and layers else []
