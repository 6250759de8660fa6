"""What a healing did to a model: how far it was from its teacher before and after, on examples held out. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Healed:
    """What `heal` did to a model of class `model`.

    `before` and `after`: how far its output is from the teacher's on `held_out` examples that it did not learn from,
    by `measure` (0: equal). Where nothing was better than the start, the model is as it was and the two are equal.
    `steps` were taken in `seconds` on `examples` others, `best_step` is the one whose weights the model has (0: the
    start), `stopped` says why no more. `pairs`: the hidden states that were compared, the student's place and the
    teacher's. `history`: step and distance at each look at the held-out part. `skipped`: steps whose loss or gradient
    was not finite; they never reached the weights. `notes`: what a reader should know.
    """

    model: str
    measure: str
    before: float
    after: float
    steps: int
    best_step: int
    seconds: float
    stopped: str
    data: str
    examples: int
    held_out: int
    lr: float
    pairs: tuple[tuple[str, str], ...] = ()
    history: tuple[tuple[int, float], ...] = ()
    skipped: int = 0
    notes: tuple[str, ...] = ()

    @property
    def improved(self) -> bool:
        """Whether any state was nearer to the teacher than the start."""
        return self.best_step > 0

    def __repr__(self) -> str:
        from identikit.reporting.healed import healed_repr

        return healed_repr(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        from dataclasses import asdict

        return asdict(self)
