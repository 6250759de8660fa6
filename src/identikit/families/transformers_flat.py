"""Stages in one list: a configuration counts the layers of each stage, and the stack holds them all in a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any


def flat_counts(config: Any, keep: Sequence[int], depth: int) -> Iterator[tuple[str, Any]]:
    """New values for lists of counts (`num_block_repeats=[1, 2, 2]`) that add up to the `depth` of the stack.

    A stage that lost all of its layers has none to count, so such a cut has no value.
    """
    for name, value in vars(config).items():
        numbers = isinstance(value, (list, tuple)) and all(type(each) is int and each > 0 for each in value)
        if numbers and len(value) > 1 and sum(value) == depth:
            ends = list(accumulate(value))
            counts = [sum(end - own <= old < end for old in keep) for own, end in zip(value, ends, strict=True)]
            if all(counts):
                yield name, type(value)(counts)
