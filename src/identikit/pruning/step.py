"""One model on the way of a search: what is gone, and what that does."""

from __future__ import annotations

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

    def less(self, path: str, plan: Plan) -> Step:
        """The step on which the layer at `path` goes too, by `plan`."""
        return Step(self.plan | plan, without(self.gone, path))


def without(gone: tuple[str, ...], path: str) -> tuple[str, ...]:
    """What is gone once `path` went too: it takes with it what lies in it."""
    return (*(each for each in gone if not inside(each, path)), path)
