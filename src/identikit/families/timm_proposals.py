"""The arguments that may build a model with a shortened stack, likeliest first; each is still to be proved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

Proposal = dict[str, Any]
_BESIDE = (1, 2, -1)  # a layer in front, one at both ends; a layer that is counted and stands elsewhere


@dataclass(frozen=True)
class Cut:
    """A stack of `depth` layers was shortened to the layers `keep` (in their old numbers)."""

    stack: str
    keep: tuple[int, ...]
    depth: int


def proposals(told: Mapping[str, Any], cut: Cut) -> Iterator[Proposal]:
    """New values for some of the arguments `told`, each set once, all of them JSON values."""
    seen = set()
    for proposal in _proposals(told, cut):
        try:
            key = json.dumps(proposal, sort_keys=True)
        except (TypeError, ValueError):  # timm's folder could not hold it
            continue
        if proposal and key not in seen:
            seen.add(key)
            yield proposal


def _proposals(told: Mapping[str, Any], cut: Cut) -> Iterator[Proposal]:
    """A count whose name speaks of depth, alone and with the lists of one entry for each layer; then what is rarer.

    A container may also hold what no number counts (it halves the picture first): a number near the depth counts too.
    """
    counts = _counts_of(told, cut, 0)
    likely = [each for each in counts if _speaks_of_depth(each)]
    lists = {name: value for name, old in told.items() if (value := _shortened(old, cut)) is not None}
    numbers = {name: value for name, old in told.items() if (value := _renumbered(old, cut)) is not None}
    for count in likely:
        yield numbers | lists | count
        yield lists | count
        yield count
    yield from (each for beside in _BESIDE for each in _counts_of(told, cut, beside) if _speaks_of_depth(each))
    yield from ({name: value} for name, value in lists.items())
    for one, other in combinations(likely, 2):
        yield lists | one | other
    yield from counts


def _counts_of(told: Mapping[str, Any], cut: Cut, beside: int) -> list[Proposal]:
    """Single counts; `beside` layers of the container are not counted."""
    return [{name: value} for name, old in told.items() for value in _counts(old, cut, beside)]


def _counts(value: Any, cut: Cut, beside: int) -> Iterator[Any]:
    """`value` with one number in it, the depth, replaced: that of the stack's own stage first."""
    if _is_number(value):
        if value == cut.depth - beside > 0 <= len(cut.keep) - beside:
            yield len(cut.keep) - beside
    elif isinstance(value, (list, tuple)):
        for place in sorted(range(len(value)), key=lambda place: _distance(place, cut)):
            for new in _counts(value[place], cut, beside):
                yield [*value[:place], new, *value[place + 1 :]]


def _distance(place: int, cut: Cut) -> int:
    """How far a place in a list is from the numbers in the stack's path, which count from 0 or ("layer3") from 1."""
    numbers = [int(number) for number in re.findall(r"\d+", cut.stack)]
    return min((min(abs(number - place), 1 + abs(number - 1 - place)) for number in numbers), default=0)


def _shortened(value: Any, cut: Cut) -> list[Any] | None:
    """A list of one entry for each layer, or the nearest one in a list of such lists, without those that went."""
    if not isinstance(value, (list, tuple)):
        return None
    if len(value) == cut.depth:
        return [value[old] for old in cut.keep]
    for place in sorted(range(len(value)), key=lambda place: _distance(place, cut)):
        inner = _shortened(value[place], cut)
        if inner is not None:
            return [*value[:place], inner, *value[place + 1 :]]
    return None


def _renumbered(value: Any, cut: Cut) -> list[int] | None:
    """A list of layer numbers (rising, all of them in the stack), in the new numbers."""
    if not isinstance(value, (list, tuple)) or not value or not all(_is_number(each) for each in value):
        return None
    if list(value) != sorted(set(value)) or not all(0 <= each < cut.depth for each in value):
        return None
    return [new for new, old in enumerate(cut.keep) if old in value]  # a copied layer stands there twice


def _speaks_of_depth(count: Proposal) -> bool:
    return any(word in name for name in count for word in ("depth", "layer", "block", "stage"))


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
