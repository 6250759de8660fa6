"""The configurations that may belong to a shortened or grown stack, likeliest first; each is still to be proved."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from identikit.families.transformers_config import config_tree, speaks_of_layers
from identikit.families.transformers_flat import flat_counts
from identikit.families.transformers_rules import ruled
from identikit.families.transformers_stages import OUT, facts_of_stage, renamed_stages

Proposal = tuple["Change", ...]
SPEC = "_heterogeneity_spec"  # transformers keeps what differs from layer to layer in an object of its own


@dataclass(frozen=True)
class Change:
    """One new value in one configuration object."""

    config: Any
    name: str
    value: Any


@dataclass(frozen=True)
class Cut:
    """A stack of `depth` layers now holds `keep` (in their old numbers): shortened, or a number twice for its copy."""

    stack: str
    keep: tuple[int, ...]
    depth: int


def proposals(config: Any, cut: Cut) -> Iterator[Proposal]:
    """Sets of changes to `config` and its parts, each once; the first is no change at all."""
    seen = set()
    for proposal in _proposals(config, cut):
        key = frozenset((id(change.config), change.name, repr(change.value)) for change in proposal)
        if key not in seen:
            seen.add(key)
            yield proposal


def _proposals(config: Any, cut: Cut) -> Iterator[Proposal]:
    """Fewest counts first, each with the per-layer lists that go with it; then with what is rarer."""
    parts = config_tree(config)
    counts = [change for part in parts for change in _counts(part, cut)]
    facts = [change for part in parts for change in _lists(part, cut)]
    lists = [change for change in facts if _is_of_layers(change)]
    others = [change for change in facts if not _is_of_layers(change)]
    numbers = [change for part in parts for change in _numbers(part, cut)]
    yield ()
    for part in parts:
        for told in facts_of_stage(part, cut.keep, cut.depth):
            yield tuple(Change(part, name, value) for name, value in told.items())
        yield from ((Change(part, name, value),) for name, value in flat_counts(part, cut.keep, cut.depth))
    for size in (1, 2):
        for chosen in combinations(counts, size):
            yield _merged(*chosen, *_beside(chosen, lists))
            yield chosen
            yield _merged(*chosen, *_beside(chosen, [*lists, *others]))
    for count in counts:
        near = _beside((count,), lists)
        for each in [*others, *numbers]:
            yield _merged(count, *near, each)
        yield _merged(count, *near, *(each for each in numbers if not isinstance(each.value, int)))
        for each in near:
            yield _merged(count, *(other for other in near if other is not each))
            yield (count, each)
        yield from (_merged(count, *near, each) for each in _scaled(count.config, cut))
        yield from (_merged(count, *near, *rule) for rule in _rules(count, cut))
    yield _merged(*lists)
    yield _merged(*counts, *lists)


def _beside(chosen: Sequence[Change], lists: Sequence[Change]) -> list[Change]:
    """The lists in the configurations of the chosen counts, less those that name the other half of the model.

    A count that is one of several (`depths=[2, 6, 2]`) has none: lists beside it have one entry per stage.
    """
    homes = [change.config for change in chosen if _is_number(change.value)]
    words = {word for change in chosen for word in ("encoder", "decoder") if word in change.name}
    other = {"encoder", "decoder"} - words if words else set()
    return [
        each
        for each in lists
        if any(each.config is home for home in homes) and not any(word in each.name for word in other)
    ]


def _is_of_layers(change: Change) -> bool:
    return speaks_of_layers(change.name) or change.name in (SPEC, *OUT) or "attn_ind" in change.name


def _merged(*changes: Change) -> Proposal:
    """One change for each value: the first that was named."""
    kept: dict[tuple[int, str], Change] = {}
    for change in changes:
        kept.setdefault((id(change.config), change.name), change)
    return tuple(kept.values())


def _counts(config: Any, cut: Cut) -> Iterator[Change]:
    """Numbers equal to the depth whose name speaks of layers, alone or in a list with one entry per stage."""
    for name, value in vars(config).items():
        if _is_number(value) and value == cut.depth and speaks_of_layers(name):
            yield Change(config, name, len(cut.keep))
        elif isinstance(value, (list, tuple)) and all(_is_number(item) for item in value):
            for place, item in enumerate(value):
                if item == cut.depth:
                    changed = [*value[:place], len(cut.keep), *value[place + 1 :]]
                    yield Change(config, name, type(value)(changed))


def _lists(config: Any, cut: Cut) -> Iterator[Change]:
    """Facts with one entry per layer, in every form that configurations have for them."""
    yield from (Change(config, name, value) for name, value in renamed_stages(config, cut.keep, cut.depth))
    for name, value in vars(config).items():
        if name == SPEC:
            overrides = _renumbered(value.per_layer_overrides, cut)
            yield Change(config, name, dataclasses.replace(value, per_layer_overrides=overrides))
        elif isinstance(value, (list, tuple)):
            if _are_layer_numbers(name, value, cut):
                yield Change(config, name, _chosen_numbers(value, cut))
            elif len(value) == cut.depth:
                yield Change(config, name, type(value)(value[old] for old in cut.keep))
            elif _is_pattern(name, value, cut):
                yield Change(config, name, type(value)(value[old % len(value)] for old in cut.keep))


def _numbers(config: Any, cut: Cut) -> Iterator[Change]:
    """Lists of layer numbers whose name does not say so, and counts of the first or last layers."""
    for name, value in vars(config).items():
        if isinstance(value, (list, tuple)) and value and all(_is_number(item) for item in value):
            if all(0 <= item < cut.depth for item in value):
                yield Change(config, name, _chosen_numbers(value, cut))
        elif _is_number(value) and 0 < value <= cut.depth:
            first = sum(old < value for old in cut.keep)
            last = sum(old >= cut.depth - value for old in cut.keep)
            for count in sorted({first, last} - {value}):
                yield Change(config, name, count)


def _scaled(config: Any, cut: Cut) -> Iterator[Change]:
    """Factors that are divided by a power of the depth (`scale_depth / sqrt(num_hidden_layers)`), so that they stay."""
    ratio = len(cut.keep) / cut.depth
    for name, value in vars(config).items() if ratio else ():
        if isinstance(value, float) and value and speaks_of_layers(name):
            yield from (Change(config, name, value * ratio**power) for power in (0.5, 1, -0.5, -1))


def _rules(count: Change, cut: Cut) -> Iterator[Proposal]:
    """New numbers for the rules that layers follow: a period, an offset."""
    if _is_number(count.value):
        numbers = ruled(count.config, cut.keep, cut.depth, count.name)
        if numbers is not None:
            yield tuple(Change(count.config, name, value) for name, value in numbers.items())


def _are_layer_numbers(name: str, values: Sequence[Any], cut: Cut) -> bool:
    """`mlp_only_layers=[0, 3]`: rising numbers of layers, under a name that says so; some may be past the last one."""
    if not values or not all(_is_number(item) and item >= 0 for item in values) or values[0] >= cut.depth:
        return False
    return list(values) == sorted(set(values)) and ("layers" in name or "idx" in name or "index" in name)


def _is_pattern(name: str, values: Sequence[Any], cut: Cut) -> bool:
    """`block_types=("recurrent", "recurrent", "attention")`: words that are repeated until there are enough."""
    words = all(isinstance(item, str) for item in values)
    return words and 0 < len(values) < cut.depth and speaks_of_layers(name)


def _chosen_numbers(values: Sequence[int], cut: Cut) -> Any:
    return type(values)(new for new, old in enumerate(cut.keep) if old in values)  # type: ignore[call-arg]


def _renumbered(table: Mapping[int, Any], cut: Cut) -> dict[int, Any]:
    return {new: table[old] for new, old in enumerate(cut.keep) if old in table}


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
