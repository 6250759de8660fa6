"""Outputs with one entry for each layer (hidden states, attentions, memories): what is left of them without a layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from identikit.structure.compare import difference
from identikit.structure.trees import children


@dataclass(frozen=True)
class Cut:
    """Of a stack of `depth` layers `gone` are taken out."""

    depth: int
    gone: int


def without_entries(expected: Any, actual: Any, cuts: Collection[Cut]) -> Any:
    """`expected` as plain containers, its per-layer tuples and lists less the entries that `actual` lacks.

    Such a list has an entry for each layer (and maybe one for what enters the first), `actual` has as many fewer as
    layers are gone, and those it has are the same, in the same order. Whatever else differs stays, to be found.
    """
    inner, other = children(expected), children(actual)
    if inner is None or other is None:
        return expected
    entries, there = [value for _, value in inner], dict(other)
    if isinstance(expected, (tuple, list)) and _is_per_layer(len(entries), len(there), cuts):
        kept = _subsequence(entries, list(there.values()))
        return entries if kept is None else kept
    return {key: without_entries(value, there[key], cuts) if key in there else value for key, value in inner}


def _is_per_layer(full: int, left: int, cuts: Collection[Cut]) -> bool:
    return any(full in (each.depth, each.depth + 1) and full - left == each.gone for each in cuts)


def _subsequence(longer: list[Any], shorter: list[Any]) -> list[Any] | None:
    """The entries of `longer` that equal those of `shorter`, one after the other; None where there are none such."""
    kept: list[Any] = []
    for entry in longer:
        if len(kept) < len(shorter) and _alike(entry, shorter[len(kept)]):
            kept.append(entry)
    return kept if len(kept) == len(shorter) else None


def _alike(one: Any, other: Any) -> bool:
    return (one is None and other is None) or difference(one, other) <= 1
