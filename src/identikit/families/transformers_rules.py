"""Rules instead of lists: the period and the offset from which a configuration works out what each layer is."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

#: Words in the name of a number that a rule is made of: `attn_layer_period`, `expert_layer_offset`, `moe_layer_freq`.
RULE_WORDS = ("period", "offset", "interval", "freq", "every", "step")
_REFUSALS = (AttributeError, ArithmeticError, IndexError, KeyError, TypeError, ValueError)
Lists = dict[str, list[Any]]


def ruled(config: Any, keep: Sequence[int], depth: int, count: str) -> dict[str, int] | None:
    """New numbers for the rules of `config`, under which every computed per-layer list says what is left of it.

    `count` is the attribute that holds the depth. The lists are the configuration's own properties, so a proposal costs
    no model. None where no rule says it, or there is no rule.
    """
    names = [name for name, value in vars(config).items() if _is_number(value) and _is_of_a_rule(name)]
    wanted = {name: [values[old] for old in keep] for name, values in computed_lists(config, depth).items()}
    if not names or not wanted:
        return None
    changed = copy.copy(config)
    vars(changed)[count] = len(keep)
    found: dict[str, int] = {}
    while (right := _agreeing(changed, wanted)) < len(wanted):
        better = next((each for each in _assignments(names, len(keep)) if _tried(changed, each, wanted) > right), None)
        if better is None:
            return None
        vars(changed).update(better)
        found |= better
    return found or None


def computed_lists(config: Any, depth: int) -> Lists:
    """The properties of a configuration that hold one entry for each of `depth` layers."""
    found: Lists = {}
    for name in dir(type(config)):
        if not name.startswith("_") and isinstance(getattr(type(config), name, None), property):
            value = _read(config, name)
            if isinstance(value, (list, tuple)) and len(value) == depth:
                found[name] = list(value)
    return found


def _read(config: Any, name: str) -> Any:
    try:
        return getattr(config, name)
    except _REFUSALS:  # a property that does not hold for this configuration
        return None


def _agreeing(config: Any, wanted: Lists) -> int:
    """How many of the computed lists are what they should be."""
    return sum(_read(config, name) in (values, tuple(values)) for name, values in wanted.items())


def _tried(config: Any, numbers: dict[str, int], wanted: Lists) -> int:
    other = copy.copy(config)
    vars(other).update(numbers)
    return _agreeing(other, wanted)


def _assignments(names: Sequence[str], depth: int) -> Iterator[dict[str, int]]:
    """Every value for one number of a rule, then for two of them."""
    for size in (1, 2):
        for chosen in combinations(names, size):
            for values in product(range(depth + 2), repeat=size):
                yield dict(zip(chosen, values, strict=True))


def _is_of_a_rule(name: str) -> bool:
    return any(word in name for word in RULE_WORDS)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
