"""What follows the choice in benchmarks/quality.py: identikit's closed-form compensation, and healing by training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quality_case import Gone, Subject
from torch import nn

import identikit as ik
from identikit.batches import Batch

FORMS = ("fold", "adapter")
LOOKS = 20  # of a healing at what is held out: with as much patience none ends it early


def made_up_for(subject: Subject, gone: Gone, form: str, metric: Any, data: Sequence[Batch] = ()) -> nn.Module:
    """These layers dropped and made up for by `ik.prune(compensate=form)`; `metric` decides whether that is kept.

    Fitted to `data`, or to the data to choose on where none are given.
    """
    pruned = ik.prune(
        subject.model, list(data or subject.batches), at=list(gone), metrics=metric, drop=len(gone), compensate=form,
        holdout=0, progress=False,
    )  # fmt: skip
    return pruned.model


@dataclass
class Healing:
    """`ik.heal` with its defaults, the same for every method, on the same data.

    The first student takes `minutes`; those of its depth, which cost the same a step, take as many steps as it made, so
    that a machine that is busy for a while favours nobody. None stops before.
    """

    subject: Subject
    data: list[Batch]
    minutes: float
    steps: dict[int, int] = field(default_factory=dict)  # by how many layers are gone

    def of(self, student: nn.Module, drop: int) -> nn.Module:
        limit: dict[str, Any] = {"steps": self.steps[drop]} if drop in self.steps else {"minutes": self.minutes}
        healed = ik.heal(
            copy.deepcopy(student), self.subject.model, self.data, patience=LOOKS, progress=False, **limit
        )
        self.steps.setdefault(drop, ik.healed(healed).steps)
        return healed
