"""Putting a plan onto a model: every edited layer's forward overridden, layers renumbered, the result checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit, Plan
from identikit.structure.compare import equal
from identikit.structure.override import Override
from identikit.surgery.check import checked
from identikit.surgery.choose import check_plan
from identikit.surgery.forwards import EditedForward, RunAndFill, Told, forward_for
from identikit.surgery.handle import Handle
from identikit.surgery.options import ON_REQUEST
from identikit.surgery.reach import unreached_expert
from identikit.surgery.renumber import renumbered_for
from identikit.surgery.replaced import replaced_forward


def install(anatomy: Anatomy, plan: Plan, *, check: bool = True, decoding: bool = True) -> Handle:
    """Apply `plan` to a model whose anatomy is known.

    `check=False` leaves the checked pass to the caller (a scan's first batch); `decoding=False` leaves out the
    renumbering that decoding with a cache needs, for callers that never use one.
    """
    edits = check_plan(anatomy, plan)
    with ExitStack() as undo:
        overrides: dict[str, Override[EditedForward]] = {}
        for edit in edits:
            override = Override(anatomy.model.get_submodule(edit.at), _forward(anatomy, edit, plan.tensors))
            undo.callback(override.undo)
            overrides[edit.at] = override
        restore = undo.pop_all()
        handle = Handle(anatomy.model, plan, overrides, restore)
    try:
        if check:
            handle.output, handle.calls = checked(anatomy, handle, edits, anatomy.run)
        if decoding and renumbered_for(anatomy, edits, restore) and check:
            _require_numbers_without_effect(anatomy, handle)
    except BaseException:
        handle.undo()
        raise
    return handle


def _require_numbers_without_effect(anatomy: Anatomy, handle: Handle) -> None:
    """Raise RoleError where a layer's number is more than its place in the cache."""
    try:
        same = equal(anatomy.run(), handle.output)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as cause:
        same, why = False, f" ({cause})"
    else:
        why = ""
    if not same:
        raise RoleError(
            f"with {', '.join(handle.plan.places)} bypassed the other layers must be renumbered for the cache, but "
            f"their numbers mean more than a place in it{why}. Use ik.remove, which leaves them where that is so."
        )


def _forward(anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
    """What the edited layer does; an expert that did not run does what its called siblings would."""
    path = edit.at if anatomy.watched.by_path.get(edit.at) else unreached_expert(anatomy, edit.at) or edit.at
    verdict = anatomy.verdict(path)
    if verdict.flow is None:
        raise RoleError(verdict.why)
    call, layer = anatomy.watched.by_path[path][0], anatomy.model.get_submodule(edit.at)
    if edit.op in ON_REQUEST:
        forward = replaced_forward(anatomy, edit, tensors)
    else:
        forward = forward_for(edit.op, layer, verdict.flow, call.output)
    tell = None if isinstance(forward, RunAndFill) else anatomy.family.absence(layer, call)
    return Told(tell, forward) if tell else forward
