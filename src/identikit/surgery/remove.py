"""`remove`: layers gone for good. Proposed on the model itself, compared with the bypassed one, put back if unequal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from torch import nn

from identikit.errors import PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.families.plain import Family
from identikit.plan import RESAMPLE, Edit, Option, Plan
from identikit.structure.roles import BLOCK, OP_OF_ROLE
from identikit.structure.stacks import stacks_around
from identikit.surgery.around import Inside, is_edited, refuse_shared
from identikit.surgery.carried import Carried, carried, carry, first_paths, live_plans, shortened_by
from identikit.surgery.choose import check_plan, first_fingerprint, plan_for
from identikit.surgery.decoding import Decoded, decoded, decodes, require_as_before
from identikit.surgery.forwards import EditedForward, RunAndFill
from identikit.surgery.install import install
from identikit.surgery.numbers import layer_numbers
from identikit.surgery.on_data import watched_on
from identikit.surgery.renumber import require_a_user
from identikit.surgery.resampled import refuse_for_good
from identikit.surgery.shorten import in_stack, renumber_what_stays, shortened_or_stand_in, stand_in
from identikit.turns import in_turn


@in_turn
def remove(
    model: nn.Module,
    what: Plan | str | Iterable[str],
    *,
    inputs: Any = None,
    family: Family | None = None,
    as_: str | None = None,
    data: Any = None,
    batch_size: int | None = None,
    options: Mapping[str, Option] | None = None,
) -> nn.Module:
    """Take layers out of `model` for good, in place; returns the model.

    Stacks are shortened and renumbered and the configuration is brought in step; a layer whose slot must stay leaves a
    stand-in without weights, and one that is replaced (`as_="mean"`, "shortcut", "adapter") a stand-in with the few of
    its replacement, which learn and are saved with the model. The result is compared with the bypassed model before it
    is kept. The model carries its plan, in the paths of the model first loaded, for `save`.

    Args:
        what: a Plan, a place or several places, as in `bypass`; `as_`, `data`, `batch_size` and `options` too are as
            there.

    Raises:
        What `bypass` raises, and RoleError where the removed model does not compute what the bypassed one did. The
        model is as it was after any of them.
    """
    refuse_shared(model)
    anatomy, read = watched_on(model, inputs, data, batch_size, family)
    if not isinstance(what, Plan):
        refuse_for_good([Edit(as_, str(what))] if as_ == RESAMPLE else [], "removed")
        what = plan_for(anatomy, [what] if isinstance(what, str) else what, as_, read, options)
    remove_known(anatomy, what)
    return model


def remove_known(anatomy: Anatomy, plan: Plan) -> nn.Module:
    """`remove` for a model whose anatomy is known; afterwards the anatomy speaks of a model that is no more."""
    model = anatomy.model
    refuse_for_good(plan, "removed")
    if live_plans(model) or is_edited(model):
        raise PlanError("an edit is still applied to this model. Undo the handle, then remove.")
    edits = check_plan(anatomy, plan)
    if not edits:
        return model
    require_a_user(anatomy, edits)
    with install(anatomy, plan, decoding=False) as handle:
        expected = handle.output
        kept = {edit.at: handle.overrides[edit.at].forward for edit in edits}
    slots = [(edit, kept[anatomy.slots[edit.at]]) for edit in _at_every_slot(model, edits)]
    _refuse_weights_that_stay(slots)
    inside = Inside(model)
    history, shortened = _proved(anatomy, plan, slots, expected)
    inside.tell([edit for edit, _ in slots], shortened, plan.tensors)
    carry(model, history)
    return model


def _proved(
    anatomy: Anatomy, plan: Plan, slots: list[tuple[Edit, EditedForward]], expected: Any
) -> tuple[Carried, list[Edit]]:
    """`_taken_out`, where the model then decodes with a cache as it did. Raises RoleError, the model as it was."""
    asked = decodes(anatomy.family, anatomy.model, [edit.at for edit, _ in slots])
    with ExitStack() as undo:
        done = _taken_out(anatomy, plan, slots, expected, undo)
        after = decoded(anatomy) if asked else Decoded()
        if not after.in_doubt:
            undo.pop_all()
            return done
    edited = f"{type(anatomy.model).__name__} without {', '.join(plan.places)}"
    require_as_before(after, decoded(anatomy), edited, "Keep a layer that feeds the cache.")
    with ExitStack() as undo:  # it did not decode before either
        done = _taken_out(anatomy, plan, slots, expected, undo)
        undo.pop_all()
    return done


def _taken_out(
    anatomy: Anatomy, plan: Plan, slots: list[tuple[Edit, EditedForward]], expected: Any, undo: ExitStack
) -> tuple[Carried, list[Edit]]:
    """Take the layers out, by shortening where that computes what is `expected`, else by stand-ins.

    Returns what the model is to carry, and the edits whose stacks were shortened.
    """
    model = anatomy.model
    forwards = {edit.at: forward for edit, forward in slots}
    whole = [edit for edit, _ in slots if in_stack(model, edit)]
    before, history = carried(model), _history(anatomy, plan, [edit for edit, _ in slots])
    stacks = [model.get_submodule(path) for path in stacks_around(model, [edit.at for edit, _ in slots])]
    numbered = {id(stack) for stack in stacks if layer_numbers(stack)}
    stand_in(model, [edit for edit, _ in slots if edit not in whole], forwards, undo)
    shortened, why = shortened_or_stand_in(anatomy, whole, forwards, expected, undo)
    if why is not None:
        raise RoleError(
            f"{type(model).__name__} without {', '.join(plan.places)} does not compute what it does while they "
            f'are bypassed{why}; it was left as it was. Use ik.bypass, or save the plan (format="plan").'
        )
    renumber_what_stays(anatomy, numbered, undo)
    gone = shortened_by(before, first_paths(model, [edit.at for edit in shortened]))
    return replace(history, shortened=gone), shortened


def _at_every_slot(model: nn.Module, edits: list[Edit]) -> list[Edit]:
    """The edits, repeated for every further slot of the same layer: a layer used twice goes from both places."""
    wanted = {id(model.get_submodule(edit.at)): edit for edit in edits}
    slots = model.named_modules(remove_duplicate=False)
    return [Edit(wanted[id(one)].op, path, wanted[id(one)].options) for path, one in slots if id(one) in wanted]


def can_be_removed(anatomy: Anatomy, path: str, op: str) -> bool:
    """Whether the layer at `path` need not run so that `op` stands in its place: something tells its output's shape."""
    flow = anatomy.verdict(path).flow
    return op == OP_OF_ROLE[BLOCK] or flow is None or not flow.needed


def require_removable(anatomy: Anatomy, path: str, op: str) -> None:
    """Raise RoleError for a layer that can be put out of action, but not taken out."""
    if op in OP_OF_ROLE.values() and not can_be_removed(anatomy, path, op):
        raise _cannot(path)


def _refuse_weights_that_stay(slots: list[tuple[Edit, EditedForward]]) -> None:
    for edit, forward in slots:
        if isinstance(forward, RunAndFill):
            raise _cannot(edit.at)


def _cannot(path: str) -> RoleError:
    return RoleError(
        f'"{path}" cannot be removed alone: nothing else tells its output\'s shape. Remove the branch around it.'
    )


def _history(anatomy: Anatomy, plan: Plan, edits: list[Edit]) -> Carried:
    """What the model will carry: the united plan in first paths, the first configuration.

    Read before the model is changed: paths are those of the model as it is now.
    """
    model, before = anatomy.model, carried(anatomy.model)
    first = dict(zip([edit.at for edit in edits], first_paths(model, [edit.at for edit in edits]), strict=True))
    moved = frozenset(Edit(edit.op, first[edit.at], edit.options) for edit in edits)
    weights = plan.weights if before is None else ""
    now = Plan(moved, first_fingerprint(model), weights, type(model).__name__, plan.tensors)
    configuration = before.configuration if before else anatomy.family.configuration(model)
    return Carried(before.plan | now if before else now, configuration)
