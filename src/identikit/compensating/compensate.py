"""Making up for dropped layers without training: gap after gap, each kept only where it helps on other batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

from torch import nn

from identikit.batches import Batch
from identikit.compensating.adapter import AdapterFit, fitted, with_adapters
from identikit.compensating.fold import Fold, ending_slot
from identikit.compensating.gaps import Gap, gaps_of, stream_of
from identikit.compensating.helped import apart, put_back, restore
from identikit.errors import PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.results.compensated import FORMS, Compensated, Filled
from identikit.surgery.carried import carried, first_paths
from identikit.surgery.choose import check_plan
from identikit.surgery.remove import remove

#: How good a model is on batches that no fit has seen; larger is better.
Worth = Callable[[nn.Module], float]


def check_form(form: str | None) -> None:
    """Raise PlanError for a form that there is not."""
    if form is not None and form not in FORMS:
        raise PlanError(f"compensate={form!r} is none of {', '.join(FORMS)}.")


def compensated(
    anatomy: Anatomy,
    plan: Plan,
    learnt: Iterable[Batch],
    judged: Iterable[Batch],
    form: str,
    worth: Worth | None = None,
) -> tuple[nn.Module, Plan, Compensated]:
    """The model of `anatomy` without the layers of `plan`, what they did made up for; the model itself stays.

    Fitted to the batches `learnt`; a gap is filled where the stream behind it comes nearer to the full model's on the
    batches `judged`, and the model is worth no less (`worth`: larger is better). Both are gone through several times.
    "fold": the last product before each gap is refitted, a plain checkpoint holds it. "adapter": a linear map stands in
    each gap, the plan says so. Returns the smaller model, its plan (first paths) and what was done. Gaps are filled
    from the front, so that each fit sees what the ones before it left.

    Raises RoleError where a layer of the plan is no whole block.
    """
    gaps = gaps_of(anatomy, check_plan(anatomy, plan))
    if form == "adapter":
        plan = with_adapters(anatomy, plan, gaps)
    student = remove(copy.deepcopy(anatomy.model), plan, inputs=anatomy.batch, family=anatomy.family)
    work = _Work(anatomy, student, form, learnt, judged, worth)
    filled = [work.fill(gap) for gap in gaps]
    extra = 0
    if form == "adapter":
        lasts = first_paths(anatomy.model, [gap.gone[-1] for gap in gaps])
        adapters = {at: student.get_submodule(f"{_present(student, at)}.replacement") for at in lasts}
        plan = fitted(plan, adapters)
        extra = sum(value.numel() for each in adapters.values() for value in each.parameters())
    return student, plan, Compensated(form, tuple(filled), parameters=extra)


class _Work:
    """Fills gap after gap of `student`."""

    def __init__(
        self, anatomy: Anatomy, student: nn.Module, form: str, learnt: Iterable[Batch], judged: Iterable[Batch],
        worth: Worth | None,
    ) -> None:  # fmt: skip
        self._anatomy, self._student, self._form = anatomy, student, form
        self._learnt, self._judged, self._worth = learnt, judged, worth
        self._value = worth(student) if worth is not None else 0.0

    def fill(self, gap: Gap) -> Filled:
        """One gap filled, or left as it is with the reason."""
        if self._form == "fold" and gap.before is None:
            return Filled(gap.gone, None, why="no layer stands before it")
        anatomy, folds = self._anatomy, self._form == "fold"
        before = str(gap.before) if folds else gap.gone[-1]
        present = _present(self._student, first_paths(anatomy.model, [before])[0])
        try:
            fit: Fold | AdapterFit = (Fold if folds else AdapterFit)(anatomy, self._student, gap, present)
        except RoleError as error:
            return Filled(gap.gone, None, why=str(error))
        last = stream_of(anatomy, gap.gone[-1])
        own = ending_slot(anatomy, before) if folds else last

        def far() -> float:
            return apart(anatomy, self._student, last, present, own, self._judged)

        was, held = far(), copy.deepcopy(fit.changed.state_dict())
        with put_back(fit.changed):
            fit.make(self._learnt)
            now = far()
            why = self._against(was, now)
        if why:
            restore(fit.changed, held)
        return Filled(gap.gone, fit.into, was, now, why=why)

    def _against(self, was: float, now: float) -> str:
        """Why a fill is not kept; empty where it is."""
        if not now < was:
            return "it does not help on other batches"
        if self._worth is not None:
            value = self._worth(self._student)
            if not value >= self._value:
                return "the model scores worse with it on other batches"
            self._value = value
        return ""


def _present(student: nn.Module, first: str) -> str:
    history = carried(student)
    return history.present_path(first) if history else first
