"""How a healing is done, in numbers: checked before anything is computed, and compared when one is gone on with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from identikit.errors import PlanError

#: What an output is compared by; None: what `losses.py` finds fit.
COMPARED = ("cosine", "logits", "sigmoid", "values")
PRECISIONS = ("float32", "bf16")
MINUTES = 10.0


@dataclass(frozen=True)
class Recipe:
    """The numbers of `heal`; its docstring says what they mean."""

    minutes: float | None
    steps: int | None
    epochs: int | None
    lr: float | None
    compare: str | None
    hidden: float
    temperature: float
    holdout: float
    patience: int
    lora: int | None
    precision: str | None
    batch_statistics: bool
    seed: int

    @property
    def seconds(self) -> float | None:
        """The wall time that there is; ten minutes where nothing else ends it."""
        if self.minutes is None:
            return None if self.steps or self.epochs else 60 * MINUTES
        return 60 * self.minutes

    def check(self) -> None:
        """Raise PlanError for a number that means nothing."""
        for name in ("minutes", "steps", "epochs", "lr", "temperature", "patience", "lora"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise PlanError(f"{name}={value} heals nothing. Give a number above 0, or leave it out.")
        if not (self.hidden >= 0 and math.isfinite(self.hidden)):
            raise PlanError(f"hidden={self.hidden} is no weight. Give 0 (outputs alone), 1, or another number.")
        if not 0 < self.holdout < 1:
            raise PlanError(f"holdout={self.holdout} is no share of the data between 0 and 1, such as 0.1.")
        for name, known in (("compare", COMPARED), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise PlanError(f"{name}={value!r} is none of {', '.join(known)}.")

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return dict(vars(self))
