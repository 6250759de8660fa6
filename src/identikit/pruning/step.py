"""One model on the way of a search: what is gone, and what that does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from identikit.places import inside
from identikit.plan import Plan
from identikit.results import Row


@dataclass(frozen=True)
class Step:
    """`gone`: the layers that went, in the order in which they did. `tried`: how many models of its size there were."""

    plan: Plan
    gone: tuple[str, ...] = ()
    rows: dict[str, Row] = field(default_factory=dict)
    tried: int = 0

    @property
    def name(self) -> str:
        """Its places as one text."""
        return " + ".join(self.plan.places)

    def less(self, path: str, plan: Plan) -> Step:
        """The step on which the layer at `path` goes too, by `plan`."""
        return Step(self.plan | plan, without(self.gone, path))

    def why(self, names: Sequence[str]) -> str:
        """Why its layers went together; `names`: their present names."""
        listed = ", ".join(f'"{name}"' for name in names)
        if len(names) == 1:
            return f"{listed} went: of the {self.tried} layers tried, its absence cost least."
        return f"{listed} went: of the {self.tried} sets of {len(names)} layers tried, their absence cost least."


def without(gone: tuple[str, ...], path: str) -> tuple[str, ...]:
    """What is gone once `path` went too: it takes with it what lies in it."""
    return (*(each for each in gone if not inside(each, path)), path)
