"""From the places a user names to a plan: which edit the role of each layer asks for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from identikit.errors import IdentikitWarning, PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.places import expand, inside
from identikit.plan import Edit, Option, Plan
from identikit.sources.readings import Data
from identikit.structure.fingerprints import structure_of, weights_of
from identikit.structure.roles import OP_OF_ROLE
from identikit.surgery.carried import carried, first_paths
from identikit.surgery.reach import not_called
from identikit.surgery.slot import ways_out
from identikit.surgery.substitutes import SUBSTITUTES

ASKED = ("asked", True)  # the option of an edit whose meaning the user said himself
_AS = ("identity", "zero", "one", *SUBSTITUTES)


def plan_for(
    anatomy: Anatomy,
    places: Iterable[str],
    as_: str | None = None,
    data: Data | None = None,
    options: Mapping[str, Option] | None = None,
) -> Plan:
    """The plan that puts the layers at `places` (of the model as it is now) out of action.

    Raises PlaceError for no such layer, NotReachedError for one that never ran, RoleError for one whose role is not
    proved where `as_` does not say what is meant, and what `fitted.requested` does where `as_` replaces a layer.
    """
    if as_ is not None and as_ not in _AS:
        raise RoleError(f"as_={as_!r} is none of {', '.join(_AS)}.")
    if options is not None and not isinstance(options, Mapping):
        raise PlanError(f'options={options!r} is no dict of options, such as {{"down": "average"}}.')
    if options and as_ not in SUBSTITUTES:
        raise PlanError(f"options= are for as_={' or '.join(map(repr, SUBSTITUTES))}; as_={as_!r} has none.")
    named = set(anatomy.resolve(*places))
    paths = sorted(path for path in named if not any(inside(path, outer) for outer in named))
    edits, tensors = _edits(anatomy, paths, as_, data, options or {})
    first = first_paths(anatomy.model, [edit.at for edit in edits])
    moved = [Edit(edit.op, path, edit.options) for edit, path in zip(edits, first, strict=True)]
    return Plan(frozenset(moved), first_fingerprint(anatomy.model), model=type(anatomy.model).__name__, tensors=tensors)


def _edits(
    anatomy: Anatomy, paths: list[str], as_: str | None, data: Data | None, options: Mapping[str, Option]
) -> tuple[list[Edit], Mapping[str, Tensor]]:
    if as_ is None or as_ not in SUBSTITUTES:
        return [_edit(anatomy, path, as_) for path in paths], {}
    for path in paths:
        if not anatomy.watched.by_path.get(path):
            not_called(anatomy, path)
    return SUBSTITUTES[as_].requested(anatomy, paths, data, options)


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
    return check_plans(anatomy, [plan])[0]


def check_plans(anatomy: Anatomy, plans: Iterable[Plan]) -> list[list[Edit]]:
    """`check_plan` of each of several plans; what is asked of the model is asked once."""
    model = anatomy.model
    now, slots = structure_of(model), anatomy.slots
    first, first_slots = now, slots
    if history := carried(model):
        first = history.plan.fingerprint
        first_slots = dict(zip(first_paths(model, list(slots)), slots.values(), strict=True))
    found = []
    for plan in plans:
        _require_for(model, plan, now, first)
        places = first_slots if plan.fingerprint in ("", first) else slots
        named = [(edit, places[expand(edit.at, places, model=type(model).__name__)[0]]) for edit in plan]
        present = [_checked(anatomy, edit, path) for edit, path in named]
        # One layer in two slots is edited once, whichever of them the plan names; two meanings are a contradiction.
        found.append(list(Plan(frozenset(present))))
    return found


def _require_for(model: nn.Module, plan: Plan, now: str, first: str) -> None:
    """Raise PlanError for a plan of another structure, or without its tensors; warn where the weights are others."""
    if plan.fingerprint not in ("", now, first):
        raise PlanError(
            f"this plan was made for a {plan.model or 'model'} of another structure ({plan.fingerprint}); this "
            f"{type(model).__name__} is {now}. Load the model that the plan was made for."
        )
    if plan.weights and not carried(model) and plan.weights != weights_of(model):
        told = "this plan was made with other weights of this structure; it is applied all the same."
        warnings.warn(f"{told} Measure again before you rely on it.", IdentikitWarning, stacklevel=6)
    plan.require_tensors()


def _checked(anatomy: Anatomy, edit: Edit, path: str) -> Edit:
    if edit.op not in _AS:
        raise PlanError(f'this version of identikit cannot apply "{edit.op}" (at "{path}").')
    if edit.op in SUBSTITUTES:
        SUBSTITUTES[edit.op].check(anatomy, Edit(edit.op, path, edit.options))
    elif ASKED in edit.options:
        check_asked(anatomy, path, edit.op)
    elif _edit(anatomy, path, None).op != edit.op:
        role = anatomy.verdict(path).role
        raise RoleError(
            f'"{path}" is a {role}: its absence is "{OP_OF_ROLE[role]}", not "{edit.op}". '
            f'Say so with as_="{edit.op}" if you mean it.'
        )
    return Edit(edit.op, path, edit.options)


def with_neighbours(anatomy: Anatomy, path: str, why: str) -> str:
    """`why`, with what could be done instead: replace the layer on request, take others of the same stack."""
    if not why.endswith("Keep it."):
        return why
    ways = ways_out(anatomy, path)
    others = _neighbours(anatomy, path)
    choices = [f"bypass {others}"] if others else []
    choices += [f"replace it: {ways}"] if ways else []
    return f"{', '.join([why[:-1], *choices[:-1]])}, or {choices[-1]}." if choices else why


def _neighbours(anatomy: Anatomy, path: str) -> str:
    """The place of the blocks in the same stack, quoted; empty where there are none."""
    parent, _, name = path.rpartition(".")
    ok = [int(each.rpartition(".")[2]) for each in anatomy.blocks() if each.rpartition(".")[0] == parent]
    if not name.isdecimal() or not ok:
        return ""
    unbroken = ok == list(range(min(ok), max(ok) + 1))
    span = f"[{min(ok)}:{max(ok) + 1}]" if unbroken else f"[{','.join(map(str, ok))}]"
    return f'"{parent}.{span}"' if parent else f'"{span}"'
