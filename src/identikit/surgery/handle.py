"""An applied plan: what puts the model back, and how often each edit ran in the pass that checked it."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from torch import nn

from identikit.errors import PlanError
from identikit.plan import Plan
from identikit.structure.override import Override
from identikit.surgery.carried import live_plans, set_live
from identikit.surgery.forwards import EditedForward
from identikit.turns import in_turn


class Handle:
    """A plan applied to a model until `undo()`, or until the `with` block ends.

    `plan` names what is out of action; `calls` counts, for each edited place, its calls in the checked pass; `output`
    is what the model returned in that pass. Handles are undone in the opposite order of their making.
    """

    def __init__(
        self, model: nn.Module, plan: Plan, overrides: dict[str, Override[EditedForward]], restore: ExitStack
    ) -> None:
        self.plan = plan
        self.calls: dict[str, int] = {}
        self.output: Any = None
        self._model = model
        self._overrides = overrides
        self._restore = restore
        self._before = live_plans(model)
        self._applied = True
        set_live(model, (*self._before, plan))

    @property
    def overrides(self) -> dict[str, Override[EditedForward]]:
        """The overridden layers by their present path."""
        return self._overrides

    @property
    def residuals(self) -> dict[str, float]:
        """Of each fitted adapter, how much of the layer's spread it leaves on held-out examples.

        0 is exact, 1 is no better than the mean. Of other edits nothing is said.
        """
        said = ((edit.at, dict(edit.options).get("residual")) for edit in self.plan)
        return {at: value for at, value in said if isinstance(value, (int, float))}

    @in_turn
    def undo(self) -> None:
        """Put the model back as it was. A second call does nothing. Raises PlanError under a later live handle."""
        if not self._applied:
            return
        later = len(live_plans(self._model)) > len(self._before) + 1
        if later or not all(one.on_top for one in self._overrides.values()):
            raise PlanError("a later edit is still applied to this model. Undo the handles in the opposite order.")
        self._restore.close()
        set_live(self._model, self._before)
        self._applied = False
        self.output = None

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def __repr__(self) -> str:
        state = "applied" if self._applied else "undone"
        return f"Handle({', '.join(self.plan.places)}; {state})"

    def _repr_html_(self) -> str:
        from identikit.reporting.fragment import plan_fragment

        return plan_fragment(self.plan, "applied" if self._applied else "undone", self.calls)
