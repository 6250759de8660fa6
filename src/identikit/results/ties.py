"""Rows that the data does not tell apart, as groups of neighbours in the ranking."""

from __future__ import annotations

from collections.abc import Sequence

from identikit.results.row import Row


def tied(ranked: Sequence[Row]) -> tuple[tuple[Row, ...], ...]:
    """The largest runs of `ranked` (rows of one metric, in the order of their cost) in which each two are tied.

    Runs may overlap: of three rows, the middle one may be tied with both others, which are told apart.
    """
    groups: list[tuple[Row, ...]] = []
    start = 0
    for end in range(1, len(ranked) + 1):
        first = start
        while start < end and (end == len(ranked) or not _all_tied(ranked[end], ranked[start:end])):
            start += 1
        if start > first and end - first > 1:
            groups.append(tuple(ranked[first:end]))
    return tuple(groups)


def _all_tied(row: Row, others: Sequence[Row]) -> bool:
    return all(other.place in row.ties or row.place in other.ties for other in others)
