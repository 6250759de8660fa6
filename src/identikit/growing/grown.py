"""What a grown model carries: which layers were put in behind which, in the paths of the model first loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from identikit.errors import PlanError
from identikit.families.anatomy import Anatomy
from identikit.plan import GROWING, Edit, Plan
from identikit.surgery.carried import Carried, carried, first_paths
from identikit.surgery.choose import first_fingerprint


def grown_history(anatomy: Anatomy, edits: Sequence[Edit]) -> Carried:
    """What the model will carry once `edits` (at paths of the model as it is now) are done. PlanError where it cannot.

    Read before the model is changed.
    """
    model, before = anatomy.model, carried(anatomy.model)
    first = first_paths(model, [edit.at for edit in edits])
    moved = [Edit(edit.op, path, edit.options) for edit, path in zip(edits, first, strict=True)]
    grown = {edit.at for edit in before.plan if edit.op in GROWING} if before else set()
    for edit, now in zip(moved, edits, strict=True):
        if edit.at in grown:
            stack, _, number = now.at.rpartition(".")
            raise PlanError(
                f'layers were put in behind "{now.at}" before. Name the last of them instead '
                f'("{stack}", {int(number) + _count(before, edit.at)}); to repeat a layer, do so before you insert.'
            )
    if before is not None:
        return replace(before, plan=before.plan | Plan(frozenset(moved), before.plan.fingerprint))
    plan = Plan(frozenset(moved), first_fingerprint(model), model=type(model).__name__)
    return Carried(plan, anatomy.family.configuration(model))


def with_counts(history: Carried, before: Carried | None, counts: Sequence[str]) -> Carried:
    """`history` with the numbers (paths of attributes) that the edits since `before` brought in step.

    Without them a model that is loaded would run as many layers as its code says, and leave out the rest.
    """
    if not counts:
        return history
    old = before.plan.edits if before else frozenset()
    told = [(f"told{number}", history.first_path(place)) for number, place in enumerate(counts, 1)]
    edits = {edit if edit in old else replace(edit, options=(*edit.options, *told)) for edit in history.plan}
    return replace(history, plan=replace(history.plan, edits=frozenset(edits)))


def _count(history: Carried | None, at: str) -> int:
    edits = history.plan if history else ()
    return sum(int(dict(edit.options).get("count") or 0) for edit in edits if edit.at == at and edit.op in GROWING)
