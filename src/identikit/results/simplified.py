"""What simplifying did to a model: each rewrite, what was left and why, the sizes before and after. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["strip", "fold", "merge", "branches"]


@dataclass(frozen=True)
class Rewritten:
    """One rewrite: the layer at `at` is gone (or an Identity now), and what it did is in `into` ("" where it did
    nothing). `said`: what stands in its place."""

    kind: Kind
    at: str
    into: str
    said: str


@dataclass(frozen=True)
class Left:
    """A layer that could go, were it not for `why`."""

    at: str
    why: str


@dataclass(frozen=True)
class Size:
    """How large a model is: parameters, modules (itself included), and the median seconds of a pass over the inputs.

    `seconds` is None where nothing can be timed (weights on the meta device).
    """

    parameters: int
    modules: int
    seconds: float | None


@dataclass(frozen=True)
class Simplified:
    """What `simplify` did to a model of class `model`.

    `same_state`: its state dict has the names it had, so its library still loads it. `float64` and `own` are how far
    the outputs are from what they were, as a share of their size, in float64 (None: it has none, and only what changes
    no bit was done) and in the model's own dtype; `proved_on` are the shapes of the inputs that they were compared on.
    """

    model: str
    rewrites: tuple[Rewritten, ...]
    left: tuple[Left, ...]
    before: Size
    after: Size
    same_state: bool
    float64: float | None
    own: float
    proved_on: tuple[str, ...]

    def count(self, kind: Kind) -> int:
        """How many rewrites are of one kind."""
        return sum(each.kind == kind for each in self.rewrites)

    def __repr__(self) -> str:
        from identikit.reporting.simplified import simplified_repr

        return simplified_repr(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        from dataclasses import asdict

        return asdict(self)
