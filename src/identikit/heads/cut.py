"""Cutting a model: a head's layers replaced by identities, or the pass ended early; what no longer runs is dropped.

Every function changes the model in place; whoever calls it puts the model back where the result is not proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from identikit.families.anatomy import Anatomy
from identikit.heads.ending import CutForward, EndAfter, EndBefore, Refusing
from identikit.heads.head import Head, has_a_second_head, reads_weights_elsewhere, taken
from identikit.places import inside
from identikit.structure.operations import memory
from identikit.structure.override import Forward, overriding
from identikit.structure.watch import Call, Location, Watched
from identikit.surgery.replacements import Absent


@dataclass(frozen=True)
class Way:
    """One way to cut a head off: `cut` does it and returns what now stands where its first layer stood.

    `first` is the call of that layer; `place` is where among its arguments the features are.
    """

    first: Call
    place: Location
    cut: Callable[[], nn.Module]


def ways(anatomy: Anatomy, head: Head, scores: torch.Tensor) -> Iterator[Way]:
    """Identities first; then ending the pass where the head begins, inside the smallest module that can return it."""
    units = _units(anatomy.watched, head)
    own = {id(unit) for unit in units}
    alone = [unit for unit in units if all(id(call) in own for call in anatomy.watched.by_path[unit.path])]
    shared = [unit for unit in units if unit not in alone]
    if not alone or any(True for unit in shared for _ in unit.module.parameters()):
        return
    first, model = alone[0], anatomy.model
    found = taken(first)
    if found is None:
        return
    place = found[0]

    def by_identities() -> nn.Module:
        stand_ins = [_replaced(model, unit.module, nn.Identity()) for unit in alone]
        return stand_ins[0]

    yield Way(first, place, by_identities)
    if reads_weights_elsewhere(anatomy, head, first) or has_a_second_head(anatomy, scores, first):
        return  # ending the pass would throw away more than the head, or less
    for scope in _scopes(anatomy.watched, first):
        yield Way(first, place, _ending(model, alone, place, scope))


def _ending(model: nn.Module, units: list[Call], place: Location, scope: Call) -> Callable[[], nn.Module]:
    def by_ending() -> nn.Module:
        first, *others = units
        message = f'"{first.path}" began the head that ik.features cut off. Call the whole model, not this part of it.'
        stand_in = _replaced(model, first.module, Absent(first.module, EndBefore(place, message)))
        for unit in others:
            if not unit.within(scope):
                _replaced(model, unit.module, nn.Identity())
        vars(scope.module)["forward"] = CutForward(scope.module, ends=True)
        return stand_in

    return by_ending


def end_at(anatomy: Anatomy, path: str) -> None:
    """Let the model return what the layer at `path` returns."""
    model, layer = anatomy.model, anatomy.model.get_submodule(path)
    if _shortened(model, path):
        return
    name = type(model).__name__
    message = f'"{path}" is where ik.features ended this {name}: call the whole model, not a part of it.'
    vars(layer)["forward"] = EndAfter(layer, message)
    vars(model)["forward"] = CutForward(model, ends=True)


def drop_what_no_longer_runs(anatomy: Anatomy) -> list[str]:
    """Take the weights of every layer that ran in the full model and does not now; returns the paths."""
    ran = set(_called(anatomy))
    here = {id(module) for module in anatomy.model.modules()}
    gone: list[str] = []
    for path, calls in anatomy.watched.by_path.items():
        module = calls[0].module
        if id(module) in ran or id(module) not in here or any(inside(path, outer) for outer in gone):
            continue
        if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
            message = f'"{path}" was cut off by ik.features, with its weights. Load the model again to run it.'
            _replaced(anatomy.model, module, Absent(module, Refusing(message)))
            gone.append(path)
    return gone


def _called(anatomy: Anatomy) -> list[int]:
    """Which modules run in a pass of the model as it is now, by identity."""
    ran: list[int] = []

    def wrap(_: str, module: nn.Module, forward: Forward) -> Forward:
        def noted(*args: Any, **kwargs: Any) -> Any:
            ran.append(id(module))
            return forward(*args, **kwargs)

        return noted

    with overriding(dict(anatomy.model.named_modules()), wrap):
        anatomy.run()
    return ran


def _shortened(model: nn.Module, path: str) -> bool:
    """Take out what follows the layer, where every module around it is a plain nn.Sequential."""
    module, around = model, []
    for part in path.split("."):
        if type(module).forward is not nn.Sequential.forward or "forward" in vars(module):
            return False
        around.append((module, part))
        module = module.get_submodule(part)
    for module, part in around:
        names = list(module._modules)
        for name in names[names.index(part) + 1 :]:
            del module._modules[name]
    return True


def _replaced(model: nn.Module, module: nn.Module, stand_in: nn.Module) -> nn.Module:
    """Put `stand_in` into every slot of `module`."""
    stand_in.train(module.training)
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is module:
                parent._modules[name] = stand_in
    return stand_in


def _units(watched: Watched, head: Head) -> list[Call]:
    """The largest modules that do nothing but the head's work: each call once, in order."""
    own = {id(call) for call in head.calls}
    parents = {id(call.parent) for call in watched.calls}
    leaves = [call for call in watched.calls if id(call) not in parents]
    units: dict[int, Call] = {}
    for call in head.calls:
        unit = call
        while (parent := unit.parent) is not None and parent.parent is not None:
            within = [each for each in leaves if each.within(parent)]
            foreign = any(id(each) not in own for each in within)
            if foreign or (head.first in within and not _same_value(parent, head.first)):
                break
            unit = parent
        units.setdefault(id(unit), unit)
    return list(units.values())


def _same_value(outer: Call, first: Call) -> bool:
    """Whether a module takes what the first layer inside it takes."""
    one, other = taken(outer), taken(first)
    if one is None or other is None:
        return False
    return one[1].shape == other[1].shape and memory(one[1]) == memory(other[1])


def _scopes(watched: Watched, first: Call) -> Iterator[Call]:
    """The modules around a call that return one tensor and run once, inner ones first."""
    scope = first.parent
    while scope is not None:
        if isinstance(scope.output, torch.Tensor) and len(watched.by_path[scope.path]) == 1:
            yield scope
        scope = scope.parent
