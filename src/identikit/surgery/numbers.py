"""The numbers that layers carry: their places in the cache of earlier tokens.

Found, not named: an integer attribute of the layers of a stack, or of modules inside them, that counts up from layer to
layer: by one, or by two where every layer holds two attentions, each with a place of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from identikit.structure.stacks import members

_NUMBER_WORDS = ("idx", "index", "id", "number")
Undo = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Numbered:
    """An attribute of `module`, which lies in layer `layer`, that holds the layer's number as number * stride + start.

    The number is the layer's place in its stack, unless it was given another.
    """

    module: nn.Module
    attribute: str
    layer: int
    stride: int
    start: int

    @property
    def number(self) -> int:
        """The number that the layer carries now."""
        value: int = vars(self.module)[self.attribute]
        return (value - self.start) // self.stride

    def give(self, number: int) -> Undo:
        """Let the layer carry `number`; returns the undo."""
        before = vars(self.module)[self.attribute]
        vars(self.module)[self.attribute] = number * self.stride + self.start
        return lambda: vars(self.module).__setitem__(self.attribute, before)


@dataclass(frozen=True, eq=False)
class _Held:
    module: nn.Module
    attribute: str
    layer: int
    inside: str  # the module's path in its layer
    value: int


def layer_numbers(stack: nn.Module) -> list[Numbered]:
    """Every attribute in `stack` that numbers its layers, counted from 0, from 1 or from any other number.

    The numbers need not be in order: a layer that no longer feeds the cache has changed places with one that does.
    """
    values: dict[str, list[_Held]] = defaultdict(list)
    for layer, name in enumerate(members(stack)):
        for inside, module in stack.get_submodule(name).named_modules():
            for attribute, value in whole_numbers(module).items():
                values[attribute].append(_Held(module, attribute, layer, inside, value))
    found: list[Numbered] = []
    for held in values.values():
        together = _counting(held) or _alone(held)
        found += together if together and together[0].stride == 1 else _several_a_layer(held)
    return found


def _counting(held: Sequence[_Held]) -> list[Numbered]:
    """`held` as numbers, where each layer says one, and they count up by the same step from layer to layer."""
    of_layer = {one.layer: one.value for one in held}
    layers, values = sorted(of_layer), sorted(of_layer.values())
    if len(layers) < 2 or any(one.value != of_layer[one.layer] for one in held):
        return []
    stride, rest = divmod(values[-1] - values[0], layers[-1] - layers[0])
    start = values[0] - stride * layers[0]
    if rest or stride < 1 or values != [layer * stride + start for layer in layers]:
        return []
    return [Numbered(one.module, one.attribute, one.layer, stride, start) for one in held]


def _alone(held: Sequence[_Held]) -> list[Numbered]:
    """`held` as numbers, where one layer of many has one (the only attention): its place, under a name that says so."""
    words = held[0].attribute.split("_")
    named = "layer" in words and any(word in words for word in _NUMBER_WORDS)
    alone = named and len({one.layer for one in held}) == 1 and all(one.value == one.layer for one in held)
    return [Numbered(one.module, one.attribute, one.layer, 1, 0) for one in held] if alone else []


def _several_a_layer(held: Sequence[_Held]) -> list[Numbered]:
    """`held` as numbers, where each of the places in a layer counts by itself: two count by two, and one is odd."""
    by_place: dict[str, list[_Held]] = defaultdict(list)
    for one in held:
        by_place[one.inside].append(one)
    found = [numbers for each in by_place.values() if (numbers := _counting(each))]
    starts: dict[int, set[int]] = defaultdict(set)
    for numbers in found:
        starts[numbers[0].stride].add(numbers[0].start)
    complete = {step for step, each in starts.items() if sorted(each) == list(range(min(each), min(each) + step))}
    if max(complete, default=1) == 1:
        return []
    return [one for numbers in found if numbers[0].stride in complete for one in numbers]


def whole_numbers(module: nn.Module) -> dict[str, int]:
    """The whole numbers among a module's attributes, less what torch's own modules call their sizes."""
    sizes = getattr(module, "__constants__", ())
    return {name: value for name, value in vars(module).items() if type(value) is int and name not in sizes}


def renumber(stack: nn.Module, numbers: dict[int, int]) -> Undo:
    """Give every layer the number that `numbers` says (its place to the number); returns the undo."""
    undos = [one.give(numbers[one.layer]) for one in layer_numbers(stack)]

    def undo() -> None:
        for each in reversed(undos):
            each()

    return undo


def closed_up(depth: int, gone: Sequence[int]) -> dict[int, int]:
    """The numbers after a removal: the layers that stay count from zero."""
    keep = [layer for layer in range(depth) if layer not in gone]
    return {layer: number for number, layer in enumerate(keep)}
