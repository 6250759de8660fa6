"""What a prune is to reach: quality kept, a number of layers, a share of the parameters or FLOPs, or a speed."""

from __future__ import annotations

from dataclasses import dataclass, fields

from identikit.confidence.effect import drops, keeps
from identikit.errors import BudgetError
from identikit.scanning.byte_sizes import bytes_of, size_text

_KEEP = 0.98


@dataclass(frozen=True)
class Budget:
    """One target; exactly one of them is given.

    `keep`: the share of the full score that must stay (0.98: at least 98 %, or at most 2 % more of a loss).
    `max_drop`: how much worse the metric may get, in its own units. `drop`: how many layers go. `params`, `flops`: the
    share of parameters, or of the FLOPs of a pass, that may stay. `speedup`: how many times as fast a pass is to be.
    `memory`: how many bytes a pass may need, with the weights.
    """

    keep: float | None = None
    max_drop: float | None = None
    drop: int | None = None
    params: float | None = None
    flops: float | None = None
    speedup: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        options = {each.name: f"--{each.name.replace('_', '-')}" for each in fields(self)}
        given = [option for name, option in options.items() if getattr(self, name) is not None]
        if len(given) != 1:
            raise BudgetError(f"give one of {', '.join(options.values())}; found {' and '.join(given) or 'none'}.")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise BudgetError(f"--keep {self.keep:g} is no share above 0 and up to 1: 0.98 keeps 98 % of the score.")
        if self.max_drop is not None and not self.max_drop >= 0:
            raise BudgetError(f"--max-drop {self.max_drop:g} is negative; it says how much worse the metric may get.")
        if self.drop is not None and self.drop < 1:
            raise BudgetError(f"--drop {self.drop} drops nothing; give 1 or more.")
        for option, share, of in (("--params", self.params, "parameters"), ("--flops", self.flops, "FLOPs")):
            if share is not None and not 0 < share < 1:
                raise BudgetError(f"{option} {share:g} is no share between 0 and 1: 0.7 keeps 70 % of the {of}.")
        if self.speedup is not None and not 1 < self.speedup < float("inf"):
            raise BudgetError(f"--speedup {self.speedup:g} is no factor above 1: 1.5 makes a pass 1.5 times as fast.")

    @classmethod
    def asked(
        cls, keep: float | None, max_drop: float | None, drop: int | None, params: float | None, flops: float | None,
        speedup: float | None, memory: int | str | None,
    ) -> Budget:  # fmt: skip
        """The target that was given, the memory as a person writes it ("400MB"); 98 % of the score where none was."""
        size = bytes_of(memory, what="memory (--memory)", error=BudgetError)
        others = (max_drop, drop, params, flops, speedup, size)
        return cls(_KEEP if keep is None and others == (None,) * len(others) else keep, *others)

    @property
    def floor(self) -> bool:
        """Whether the budget bounds the quality; then dropping goes on as long as it holds."""
        return self.keep is not None or self.max_drop is not None

    @property
    def shrinks(self) -> bool:
        """Whether what the budget counts is to become less."""
        return self.params is not None or self.flops is not None or self.memory is not None

    def holds(self, full: float, edited: float, higher: bool, name: str) -> bool:
        """Whether a quality budget is met by the edited model's score."""
        if self.keep is not None:
            return keeps(full, edited, higher, name=name) >= self.keep
        return self.max_drop is None or drops(full, edited, higher) <= self.max_drop

    def reached(self, amount: float) -> bool:
        """Whether a budget of size is met; `amount`: of what it counts (amounts.py)."""
        most = self.params or self.flops or self.memory
        if most is not None:
            return amount <= most
        goal = self.drop or self.speedup
        return goal is not None and amount >= goal

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
        if self.speedup is not None:
            return f"a pass {self.speedup:g} times as fast"
        if self.memory is not None:
            return f"a pass needs at most {size_text(self.memory)} of memory"
        share, of = (self.params, "parameters") if self.params is not None else (self.flops, "FLOPs")
        return f"at most {(share or 0) * 100:.4g} % of the {of}"
