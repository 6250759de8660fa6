"""identikit's columns in benchmarks/quality.py: what `ik.prune` chooses, on the same data as the rivals.

Nothing of it is held out (`holdout=0`): the rivals choose on all of it, and other data judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quality_case import Gone, Subject
from torch import nn

import identikit as ik

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"method": "greedy"},
    "beam 4": {"method": "beam", "beam": 4},
    "beam 8": {"method": "beam", "beam": 8},
    "span": {"method": "span"},
}


def chosen(subject: Subject, most: int, metric: Any, way: str, **more: Any) -> dict[int, Gone]:
    """What is gone at 1, 2 ... `most` layers fewer; one prune gives all of them."""
    pruned = ik.prune(
        subject.model, list(subject.batches), at=list(subject.layers), metrics=metric, drop=most, progress=False,
        holdout=0, batch_memory="1GB", **WAYS[way], **more,
    )  # fmt: skip
    return {drop: in_order(subject, pruned.front.plan(drop).places) for drop in range(1, most + 1)}


def made_up(subject: Subject, drop: int, metric: Any, way: str, form: str) -> tuple[Gone, nn.Module]:
    """`drop` layers chosen and made up for by `ik.prune(compensate=form)`: which, and the model."""
    pruned = ik.prune(
        subject.model, list(subject.batches), at=list(subject.layers), metrics=metric, drop=drop, compensate=form,
        holdout=0, batch_memory="1GB", progress=False, **WAYS[way],
    )  # fmt: skip
    return in_order(subject, pruned.front.choice.places), pruned.model


def in_order(subject: Subject, paths: Sequence[str]) -> Gone:
    return tuple(sorted(paths, key=subject.layers.index))
