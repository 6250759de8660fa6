"""From the places a user names to a plan: which edit the role of each layer asks for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from torch import nn

from identikit.errors import IdentikitWarning, PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.places import expand, inside
from identikit.plan import Edit, Plan
from identikit.structure.fingerprints import structure_of, weights_of
from identikit.structure.roles import OP_OF_ROLE
from identikit.surgery.carried import carried, first_paths
from identikit.surgery.reach import not_called

ASKED = ("asked", True)  # the option of an edit whose meaning the user said himself
_AS = ("identity", "zero", "one")


def plan_for(anatomy: Anatomy, places: Iterable[str], as_: str | None = None) -> Plan:
    """The plan that puts the layers at `places` (of the model as it is now) out of action.

    Raises PlaceError for no such layer, NotReachedError for one that never ran, RoleError for one whose role is not
    proved where `as_` does not say what is meant.
    """
    if as_ is not None and as_ not in _AS:
        raise RoleError(f"as_={as_!r} is none of {', '.join(_AS)}.")
    named = {path for place in places for path in anatomy.resolve(place)}
    paths = sorted(path for path in named if not any(inside(path, outer) for outer in named))
    edits = [_edit(anatomy, path, as_) for path in paths]
    first = first_paths(anatomy.model, [edit.at for edit in edits])
    moved = [Edit(edit.op, path, edit.options) for edit, path in zip(edits, first, strict=True)]
    return Plan(frozenset(moved), first_fingerprint(anatomy.model), model=type(anatomy.model).__name__)


def first_fingerprint(model: nn.Module) -> str:
    """The structure that plans for `model` are bound to: that of the model first loaded."""
    history = carried(model)
    return history.plan.fingerprint if history else structure_of(model)


def _edit(anatomy: Anatomy, path: str, as_: str | None) -> Edit:
    if not anatomy.watched.by_path.get(path):
        not_called(anatomy, path)
    verdict = anatomy.verdict(path)
    if verdict.ok and as_ in (None, OP_OF_ROLE[verdict.role]):
        return Edit(OP_OF_ROLE[verdict.role], path)
    if as_ is None:
        raise RoleError(with_neighbours(anatomy, path, verdict.why))
    check_asked(anatomy, path, as_)
    return Edit(as_, path, (ASKED,))


def check_asked(anatomy: Anatomy, path: str, op: str) -> None:
    """Refuse what even the user's word cannot make: the identity of a layer without a stream."""
    verdict = anatomy.verdict(path)
    flow = verdict.flow
    if op == "identity" and (flow is None or flow.needed or not (flow.streams or flow.passed)):
        raise RoleError(with_neighbours(anatomy, path, verdict.why))


def check_plan(anatomy: Anatomy, plan: Plan) -> list[Edit]:
    """The edits of `plan` in the paths of the model as it is now; every one is possible there and means what it says.

    Raises PlanError for a plan made for another model, PlaceError and RoleError as `plan_for` does.
    """
    model, name = anatomy.model, type(anatomy.model).__name__
    now, first = structure_of(model), first_fingerprint(model)
    if plan.fingerprint not in ("", now, first):
        raise PlanError(
            f"this plan was made for a {plan.model or 'model'} of another structure ({plan.fingerprint}); this {name} "
            f"is {now}. Load the model that the plan was made for."
        )
    if plan.weights and not carried(model) and plan.weights != weights_of(model):
        warnings.warn("this plan was made with other weights of this structure.", IdentikitWarning, stacklevel=3)
    present = [_checked(anatomy, edit, path) for edit, path in _present(anatomy, plan, plan.fingerprint != now)]
    # One layer in two slots is edited once, whichever of them the plan names; two meanings for it are a contradiction.
    return list(Plan(frozenset(present)))


def _present(anatomy: Anatomy, plan: Plan, by_first_path: bool) -> list[tuple[Edit, str]]:
    """Each edit with its layer's present path."""
    name, slots = type(anatomy.model).__name__, anatomy.slots
    if by_first_path and carried(anatomy.model) is not None:
        first = first_paths(anatomy.model, list(slots))
        slots = dict(zip(first, slots.values(), strict=True))
    return [(edit, slots[expand(edit.at, slots, model=name)[0]]) for edit in plan]


def _checked(anatomy: Anatomy, edit: Edit, path: str) -> Edit:
    if edit.op not in _AS:
        raise PlanError(f'this version of identikit cannot apply "{edit.op}" (at "{path}").')
    if ASKED in edit.options:
        check_asked(anatomy, path, edit.op)
    elif _edit(anatomy, path, None).op != edit.op:
        role = anatomy.verdict(path).role
        raise RoleError(
            f'"{path}" is a {role}: its absence is "{OP_OF_ROLE[role]}", not "{edit.op}". '
            f'Say so with as_="{edit.op}" if you mean it.'
        )
    return Edit(edit.op, path, edit.options)


def with_neighbours(anatomy: Anatomy, path: str, why: str) -> str:
    """`why`, with the layers of the same stack that could be taken instead."""
    parent, _, name = path.rpartition(".")
    ok = [int(each.rpartition(".")[2]) for each in anatomy.blocks() if each.rpartition(".")[0] == parent]
    if not name.isdecimal() or not ok or not why.endswith("Keep it."):
        return why
    unbroken = ok == list(range(min(ok), max(ok) + 1))
    span = f"[{min(ok)}:{max(ok) + 1}]" if unbroken else f"[{','.join(map(str, ok))}]"
    place = f"{parent}.{span}" if parent else span
    return f'{why[:-1]}, or bypass "{place}".'
