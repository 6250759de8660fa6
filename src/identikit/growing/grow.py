"""A stack made longer in place: copies put in behind its layers and numbered, the configuration brought in step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

from torch import nn

from identikit.errors import PlaceError, PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.families.plain import Family
from identikit.places import expand, inside
from identikit.plan import GROWING
from identikit.structure.stacks import numbered_children
from identikit.structure.wrappers import prefix_of, unwrapped
from identikit.surgery.around import is_edited, refuse_shared
from identikit.surgery.carried import carried, live_plans
from identikit.surgery.decoding import Decoding
from identikit.surgery.numbers import Numbered, layer_numbers

Behind = Mapping[int, Sequence[tuple[int, nn.Module]]]
"""By the number of a layer, what is put in behind it: the number of the layer it is a copy of, and the copy."""


_LISTS = (nn.ModuleList, nn.Sequential)


@dataclass(frozen=True)
class Stack:
    """A container of numbered layers that may grow; `path` is "" where it is the model itself."""

    model: nn.Module
    path: str
    container: nn.Module

    @property
    def depth(self) -> int:
        return len(self.container._modules)


def growable(model: nn.Module, place: str) -> Stack:
    """The container at `place` whose numbered layers may be copied; what torch has put around the model is left out.

    Raises PlaceError where it is none, PlanError where an edit is applied to the model now, or was done to a model
    inside it, whose history would not know of the growth.
    """
    inner = unwrapped(model)
    refuse_shared(model)
    if not isinstance(place, str):
        raise PlaceError(f'stack={place!r}: a stack is named by its path, such as "model.layers"; one at a time.')
    path = place.removeprefix(prefix_of(model))
    if live_plans(inner) or is_edited(inner):
        raise PlanError("an edit is still applied to this model. Undo the handle, then let the stack grow.")
    told = next((path for path, module in inner.named_modules() if path and carried(module) is not None), None)
    if told is not None:
        raise PlanError(f'the model at "{told}" was edited before it was put in here. Let that one grow by itself.')
    if path:
        known = [each for each, _ in inner.named_modules(remove_duplicate=False) if each]
        path = expand(path, known, model=type(inner).__name__)[0]
    container = inner.get_submodule(path)
    if not isinstance(container, _LISTS) or not numbered_children(container):
        named = isinstance(container, _LISTS) and len(container)
        numbered = (each for each in inner.named_modules() if isinstance(each[1], _LISTS))
        lists = (each for each, module in numbered if numbered_children(module))
        near = "" if named else next((f' This model has "{each}".' for each in lists if each), "")
        what = f'"{path}" is a {type(container).__name__}' if path else f"the model is a {type(container).__name__}"
        raise PlaceError(f"{what}, no list of numbered layers{' (they have names)' if named else ''}.{near}")
    return Stack(inner, path, container)


def layers_of(stack: Stack, chosen: int | Sequence[int], argument: str) -> list[int]:
    """The layers that a user names by number, in order; negative ones count from the end. Raises PlaceError."""
    depth = stack.depth
    several = isinstance(chosen, Iterable) and getattr(chosen, "ndim", None) != 0  # such an array has no length
    numbers: list[Any] = list(chosen) if several else [chosen]  # type: ignore[arg-type]
    if not numbers or not all(map(is_whole, numbers)) or not all(-depth <= number < depth for number in numbers):
        raise PlaceError(f"{argument}={chosen!r}: layers are named by their numbers, here 0 to {depth - 1}.")
    found = sorted(int(number) % depth for number in numbers)
    if len(set(found)) < len(found):
        raise PlaceError(f"{argument}={chosen!r} names a layer twice.")
    return found


def is_whole(value: object) -> bool:
    """Whether a user's value is a whole number (NumPy's too)."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def inside_of(stack: str, name: object) -> str:
    """The path of a child."""
    return f"{stack}.{name}" if stack else str(name)


def put_in(model: nn.Module, family: Family, stack: str, behind: Behind, undo: ExitStack) -> list[str]:
    """Put the copies in, number all layers, bring the configuration in step; returns the copies' paths.

    What takes each of these back goes onto `undo`.
    """
    container = model.get_submodule(stack)
    before = dict(container._modules)
    depth = len(before)
    _refuse_a_lonely_decoder(model, family, stack, depth)
    found = layer_numbers(container)
    order: list[tuple[int, nn.Module | None]] = []
    for number in range(depth):
        order += [(number, before[str(number)]), *behind.get(number, ())]

    def hold(modules: Mapping[str, nn.Module | None]) -> None:
        container._modules.clear()
        container._modules.update(modules)

    undo.callback(hold, before)
    hold({str(new): layer for new, (_, layer) in enumerate(order)})
    _number(container, found, [old for old, _ in order], undo)
    undo.callback(family.resize(model, stack, [old for old, _ in order], depth))
    copies = {id(copy) for each in behind.values() for _, copy in each}
    return [inside_of(stack, new) for new, (_, layer) in enumerate(order) if id(layer) in copies]


def count_in_step(model: nn.Module, stack: str, depth: int, undo: ExitStack) -> list[str]:
    """Let the modules around `stack` know its depth where they keep the old one in a number; the paths of those."""
    now, parts, changed = len(model.get_submodule(stack)._modules), stack.split("."), []
    for place in dict.fromkeys(".".join(parts[:count]) for count in range(len(parts))):
        around = model.get_submodule(place)
        for name, value in list(vars(around).items()):
            if type(value) is int and value == depth and any(word in name for word in ("layer", "block", "depth")):
                undo.callback(vars(around).__setitem__, name, value)
                vars(around)[name] = now
                changed.append(inside_of(place, name))
    return changed


def _number(container: nn.Module, found: list[Numbered], order: list[int], undo: ExitStack) -> None:
    """Number the layers, copies too. Layers that had exchanged their numbers stay in that order."""
    first = {old: container.get_submodule(str(order.index(old))) for old in set(order)}
    inside = {id(each): name for layer in first.values() for name, each in layer.named_modules()}
    of_kind: dict[tuple[str, int, int], dict[int, list[Numbered]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        of_kind[one.attribute, one.stride, one.start][one.layer].append(one)
    for of_layer in of_kind.values():
        held = {layer: each[0].number for layer, each in of_layer.items()}
        places = [new for new, old in enumerate(order) if old in of_layer]
        exchanged = any(number != layer for layer, number in held.items())
        ranked = sorted(places, key=lambda new, held=held: (held[order[new]], new)) if exchanged else places  # type: ignore[misc]
        for new, number in zip(ranked, places, strict=True):
            for one in of_layer[order[new]]:
                module = container.get_submodule(str(new)).get_submodule(inside[id(one.module)])
                undo.callback(replace(one, module=module).give(number))


def _refuse_a_lonely_decoder(model: nn.Module, family: Family, stack: str, depth: int) -> None:
    if depth == 1 and family.decodes(model, stack):
        raise RoleError(
            f'"{stack}" has one layer, and of one alone nothing tells which of its numbers is its place in the cache: '
            "a second one would break decoding. Build the model with two layers."
        )


def check_growth(anatomy: Anatomy, path: str) -> None:
    """Raise RoleError or PlanError where the layer at `path` cannot be copied."""
    model = anatomy.model
    verdict = anatomy.verdict(path)
    if not verdict.ok or verdict.role != "block":
        why = verdict.why if not verdict.ok else f'"{path}" is a {verdict.role}, no whole block.'
        why = why.partition(" Say which you mean: as_=")[0]  # bypass takes that word, growth does not
        raise RoleError(f"{why} Only a whole block can be copied behind itself.")
    if any(value.is_meta for value in model.get_submodule(path).parameters()):
        raise RoleError(f'the weights of "{path}" are on the meta device, so nothing can be proved. Load them first.')
    history = carried(model)
    if history is not None:
        first = history.first_path(path)
        edits = [edit for edit in history.plan if edit.at == first and edit.op not in GROWING]
        edited = next(iter([*edits, *(edit for edit in history.plan if inside(edit.at, first))]), None)
        if edited is not None:
            raise PlanError(f'"{path}" was edited before ({edited}). Copy another layer, or grow first and edit then.')


def require_decoding(stack: Stack, decoding: Decoding, *, unchanged: bool) -> None:
    """Raise RoleError where the grown model does not decode as it should."""
    why = decoding.broken(unchanged=unchanged)
    if why is not None:
        raise RoleError(
            f'{type(stack.model).__name__} with a longer "{stack.path}" does not generate: {why}. It was left as it '
            "was. Where the library counts the layers of another stack for its cache, let that one grow first."
        )
