"""What a prune is to reach: quality kept as a share or absolutely, a number of layers, or a share of the parameters."""

from __future__ import annotations

from dataclasses import dataclass

from identikit.confidence.effect import drops, keeps
from identikit.errors import BudgetError


@dataclass(frozen=True)
class Budget:
    """One target; exactly one of the four is given.

    `keep`: the share of the full score that must stay (0.98: at least 98 %, or at most 2 % more of a loss).
    `max_drop`: how much worse the metric may get, in its own units. `drop`: how many layers go. `params`: the share
    of parameters that may stay.
    """

    keep: float | None = None
    max_drop: float | None = None
    drop: int | None = None
    params: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("keep", "max_drop", "drop", "params") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"--{name.replace('_', '-')}" for name in given) or "none"
            raise BudgetError(f"give one of --keep, --max-drop, --drop, --params; found {found}.")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise BudgetError(f"--keep {self.keep:g} is no share above 0 and up to 1: 0.98 keeps 98 % of the score.")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise BudgetError(f"--max-drop {self.max_drop:g} is negative; it says how much worse the metric may get.")
        if self.drop is not None and self.drop < 1:
            raise BudgetError(f"--drop {self.drop} drops nothing; give 1 or more.")
        if self.params is not None and not 0 < self.params < 1:
            raise BudgetError(
                f"--params {self.params:g} is no share between 0 and 1: 0.7 keeps 70 % of the parameters."
            )

    @property
    def floor(self) -> bool:
        """Whether the budget bounds the quality; then dropping goes on as long as it holds."""
        return self.keep is not None or self.max_drop is not None

    def holds(self, full: float, edited: float, higher: bool, name: str) -> bool:
        """Whether a quality budget is met by the edited model's score."""
        if self.keep is not None:
            return keeps(full, edited, higher, name=name) >= self.keep
        return self.max_drop is None or drops(full, edited, higher) <= self.max_drop

    def reached(self, dropped: int, share_left: float) -> bool:
        """Whether a budget of size is met."""
        if self.drop is not None:
            return dropped >= self.drop
        return self.params is not None and share_left <= self.params

    def words(self, metric: str, higher: bool) -> str:
        """The goal as a person says it."""
        if self.keep is not None:
            if higher:
                return f"keep at least {self.keep * 100:.4g} % of the full {metric}"
            return f"at most {(1 - self.keep) * 100:.4g} % more {metric} than the full model"
        if self.max_drop is not None:
            return f"{metric} at most {self.max_drop:g} {'lower' if higher else 'higher'} than the full model's"
        if self.drop is not None:
            return f"drop {self.drop} layer{'s' if self.drop > 1 else ''}"
        return f"at most {(self.params or 0) * 100:.4g} % of the parameters"
