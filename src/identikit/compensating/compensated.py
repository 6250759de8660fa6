"""What was made up for, gap by gap: pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filled:
    """One gap. gone: the dropped layers. into: the layer that took their effect up, None where none could.

    before, after: the squared distance of the stream behind the gap from the full model's, over its spread (0: equal),
    on batches that the fit did not see. why: the reason where the gap was left as it is, else empty.
    """

    gone: tuple[str, ...]
    into: str | None
    before: float | None = None
    after: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Compensated:
    """form: "fold" or "adapter". gaps: each, in the order of the model."""

    form: str
    gaps: tuple[Filled, ...]

    @property
    def filled(self) -> int:
        """How many gaps were filled."""
        return sum(not each.why for each in self.gaps)
