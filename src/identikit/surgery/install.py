"""Putting a plan onto a model: every edited layer's forward overridden, layers renumbered, the result checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit, Plan
from identikit.structure.override import Override
from identikit.surgery.check import checked
from identikit.surgery.choose import check_plan
from identikit.surgery.decoding import Decoded, decoded, decodes, require_as_before
from identikit.surgery.forwards import EditedForward, RunAndFill, Told, forward_for
from identikit.surgery.handle import Handle
from identikit.surgery.reach import unreached_expert
from identikit.surgery.renumber import renumbered_for, warn_of_numbers_left
from identikit.surgery.shorten import same_output
from identikit.surgery.substitutes import SUBSTITUTES
from identikit.turns import this_thread


def install(
    anatomy: Anatomy, plan: Plan, *, check: bool = True, decoding: bool = True, edits: list[Edit] | None = None
) -> Handle:
    """Apply `plan` to a model whose anatomy is known.

    `check=False` leaves the checked pass to the caller (a scan's first batch); `decoding=False` leaves out the
    renumbering that decoding with a cache needs and its proof, for callers that never use one; `edits` are those that
    `check_plan` gave for this plan.
    """
    edits = check_plan(anatomy, plan) if edits is None else edits
    handle = _put_on(anatomy, plan, edits, check=check, decoding=decoding)
    try:
        asked = check and decoding and decodes(anatomy.family, anatomy.model, plan.places)
        after = decoded(anatomy) if asked else Decoded()
    except BaseException:  # an interrupt, or what a library says of its model
        handle.undo()
        raise
    if after.in_doubt:
        handle.undo()
        edited = f"with {', '.join(plan.places)} bypassed"
        require_as_before(after, decoded(anatomy), edited, "Keep a layer that feeds the cache, or use ik.remove.")
        handle = _put_on(anatomy, plan, edits, check=check, decoding=decoding)
    return handle


def _put_on(anatomy: Anatomy, plan: Plan, edits: list[Edit], *, check: bool, decoding: bool) -> Handle:
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
        if decoding:
            with ExitStack() as numbers:
                gone = [edit for edit in edits if not overrides[edit.at].forward.runs]
                changed = renumbered_for(anatomy, gone, numbers) if gone else False
                if check and changed and not same_output(anatomy, handle.output)[0]:
                    warn_of_numbers_left(anatomy, plan.places)
                else:
                    restore.push(numbers.pop_all())
    except BaseException:
        handle.undo()
        raise
    for override in overrides.values():
        override.forward.owner = this_thread()
    return handle


def _forward(anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
    """What the edited layer does; an expert that did not run does what its called siblings would."""
    path = edit.at if anatomy.watched.by_path.get(edit.at) else unreached_expert(anatomy, edit.at) or edit.at
    verdict = anatomy.verdict(path)
    if verdict.flow is None:
        raise RoleError(verdict.why)
    call, layer = anatomy.watched.by_path[path][0], anatomy.model.get_submodule(edit.at)
    if edit.op in SUBSTITUTES:
        forward = SUBSTITUTES[edit.op].forward(anatomy, edit, tensors)
    else:
        forward = forward_for(edit.op, layer, verdict.flow, call.output)
    tell = None if isinstance(forward, RunAndFill) else anatomy.family.absence(layer, call)
    return Told(tell, forward) if tell else forward
