"""Which modules a recording wraps: those around the edited layers, and the ones called beside them. No others.

Wrapping all modules of a model makes its pass half as long again; a call that lies deeper is part of a wrapped one.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.structure.members import members


def ways_to(anatomy: Anatomy, sites: Iterable[str]) -> dict[str, nn.Module]:
    """The modules to wrap, by path: every module around a site, and all that such a module calls."""
    model = anatomy.model
    around = {""} | {outer for site in sites for outer in _around(site)}
    called = anatomy.watched.by_path
    found: dict[str, nn.Module] = {"": model}
    open_ = [(path, module) for path in sorted(around) for path, module in _children(model, path)]
    while open_:
        path, module = open_.pop()
        if path in called:
            found[path] = module
        elif path not in around:  # a list of layers is no call: its members are
            open_ += _children(model, path)
    first = {id(module): path for path, module in model.named_modules()}
    return {first[id(module)]: module for module in found.values()}


def _around(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _children(model: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    return [(f"{path}.{name}" if path else name, child) for name, child in model.get_submodule(path).named_children()]


def beside(anatomy: Anatomy, layers: Iterable[str]) -> list[str]:
    """`layers` and all that their containers line up beside them, as far as it was called, in the model's order."""
    found: dict[str, None] = {}
    for path in layers:
        parent = path.rpartition(".")[0]
        container = anatomy.model.get_submodule(parent)
        found |= dict.fromkeys(f"{parent}.{name}" if parent else name for name in members(container))
        found[path] = None
    own = {path for path, _ in anatomy.model.named_modules()}  # a layer in two slots stands under its first
    return [path for path in found if path in own and anatomy.watched.by_path.get(path)]
