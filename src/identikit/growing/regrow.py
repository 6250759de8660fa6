"""The growth in a plan done again to the model first loaded: the same copies in the same places, nothing proved."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from torch import nn

from identikit.errors import PlanError
from identikit.families.plain import Family
from identikit.growing.copied import copy_of
from identikit.growing.grow import growable, put_in
from identikit.plan import GROWING, Edit, Plan
from identikit.structure.fingerprints import structure_of
from identikit.surgery.carried import Carried, carried, carry


def growth_of(plan: Plan) -> Plan:
    """The edits of `plan` that put layers in: they come before all others."""
    return replace(plan, edits=frozenset(edit for edit in plan if edit.op in GROWING))


def without_growth(plan: Plan) -> Plan:
    """The other edits of `plan`."""
    return replace(plan, edits=plan.edits - growth_of(plan).edits)


def regrow(model: nn.Module, plan: Plan, family: Family) -> Callable[[], None]:
    """Put in what `plan` puts in, in place: the model's weights are still to come. Returns the undo.

    The model carries that growth then. Raises PlanError or PlaceError where the plan was made for another model.
    """
    before, growth = carried(model), growth_of(plan)
    if not growth.edits or (before is not None and growth.edits <= before.plan.edits):
        return lambda: None
    if plan.fingerprint not in ("", structure_of(model)) or before is not None:
        raise PlanError(
            f"this plan was made for a {plan.model or 'model'} of another structure ({plan.fingerprint}); this "
            f"{type(model).__name__} is {structure_of(model)}. Pass the model that the plan was made for."
        )
    history = Carried(replace(growth, edits=frozenset()), family.configuration(model))
    with ExitStack() as undo:
        undo.callback(carry, model, before)
        for edit in sorted(growth, key=lambda each: (each.at.count("+"), each.at)):
            _put_in(model, family, history, edit, undo)
            history = replace(history, plan=history.plan | replace(growth, edits=frozenset({edit})))
            carry(model, history)
        return undo.pop_all().close


def _put_in(model: nn.Module, family: Family, history: Carried, edit: Edit, undo: ExitStack) -> None:
    count = dict(edit.options).get("count")
    place, _, name = history.present_path(edit.at).rpartition(".")
    found = growable(model, place)
    wrong = PlanError(f'this plan has "{edit}", which {type(model).__name__} has no layers for.')
    if type(count) is not int or not 1 <= count <= 10_000 or not name.isdecimal() or int(name) >= found.depth:
        raise wrong
    sources = [edit.at] * count if edit.op == "insert" else _up_to(edit.at, count)
    if sources is None:
        raise wrong
    paths = [history.present_path(source) for source in sources]
    copies = [(int(path.rpartition(".")[2]), copy_of(model, path)) for path in paths]
    put_in(model, family, found.path, {int(name): copies}, undo)
    for where, attribute in _told(history, edit):
        around: dict[str, Any] = vars(model.get_submodule(where)) if where in dict(model.named_modules()) else {}
        if type(around.get(attribute)) is not int:
            raise wrong
        undo.callback(around.__setitem__, attribute, around[attribute])
        around[attribute] += count


def _told(history: Carried, edit: Edit) -> list[tuple[str, str]]:
    """The numbers that keep the depth, and were brought in step then: module (path of the model now) and attribute."""
    places = [str(value) for name, value in edit.options if name.startswith("told")]
    found = [history.present_path(place).rpartition(".") for place in places]
    return [(module, attribute) for module, _, attribute in found]


def _up_to(at: str, count: int) -> list[str] | None:
    """The `count` layers of the model first loaded that end at `at`; of one, it may be a layer that was put in."""
    stack, _, name = at.rpartition(".")
    if count == 1:
        return [at]
    if not name.isdecimal() or int(name) < count - 1:
        return None
    start = f"{stack}." if stack else ""
    return [f"{start}{number}" for number in range(int(name) - count + 1, int(name) + 1)]
