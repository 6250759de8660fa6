"""A plan replayed on a full model: the model made from its first configuration, its layers taken out again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from identikit.errors import IdentikitError, InputsError, ModelError, PlanError
from identikit.families import FAMILIES, Family, family_of
from identikit.growing.regrow import regrow, without_growth
from identikit.places import expand, inside
from identikit.plan import Plan
from identikit.saving.weights import closed_up
from identikit.sources.sentences import check_code
from identikit.structure.fingerprints import structure_of
from identikit.structure.per_layer import Cut
from identikit.structure.stacks import numbered_children, stack_of
from identikit.surgery.carried import Carried, carried, carry, first_paths, shortened_by
from identikit.surgery.choose import first_fingerprint
from identikit.surgery.remove import remove


def constructed(
    place: Path, plan: Plan, configuration: dict[str, Any] | None, own: Family | None = None
) -> nn.Module | None:
    """The full model with weights still to come, made from its first configuration; None where no library can.

    Raises ModelError where a configuration is there, and what it says cannot be made.
    """
    if configuration is None:
        return None
    check_code(place)
    for family in FAMILIES if own is None else (own,):
        try:
            made = family.construct(place, configuration, plan.model)
        except IdentikitError:
            raise
        except Exception as cause:  # whatever a constructor raises, the configuration is to blame
            first = (str(cause).strip().splitlines() or [""])[0]
            raise ModelError(
                f"no {plan.model} can be made from the configuration in {place}: {type(cause).__name__}: {first}. "
                "Save the model again."
            ) from cause
        if made is not None:
            return made.eval()
    return None


def replayed(
    model: nn.Module, plan: Plan, inputs: Any, family: Family | None, *, needs_example: bool = False
) -> nn.Module:
    """`model` with what the plan puts in and without what it takes out, in place, as `remove` does it.

    Where no example of the input is known, the stacks are shortened and nothing is run; `needs_example` forbids that.
    """
    if not plan.edits:
        return model
    regrow(model, plan, family_of(model, family))
    whole_plan, plan = plan, without_growth(plan)
    if not plan.edits:
        return _with_weights_of(whole_plan, model)
    if inputs is not None or family_of(model, family).example(model) is not None:
        return _with_weights_of(plan, remove(model, replace(plan, weights=""), inputs=inputs, family=family))
    if plan.fingerprint not in ("", first_fingerprint(model)):
        raise PlanError(
            f"this plan was made for a {plan.model or 'model'} of another structure ({plan.fingerprint}); this "
            f"{type(model).__name__} is {structure_of(model)}. Pass the model that the plan was made for."
        )
    whole = [edit.at for edit in plan if edit.op == "identity" and _in_stack(model, edit.at)]
    if needs_example or len(whole) < len(plan):
        other = next((edit for edit in plan if edit.at not in whole), next(iter(plan)))
        raise InputsError(f'the plan has "{other}", which takes one example of the input to replay. Pass inputs=...')
    return _shortened(model, plan)


def _with_weights_of(plan: Plan, model: nn.Module) -> nn.Module:
    """`model`, carrying the hash of the weights that `plan` was made with: its own are still to come."""
    history = carried(model)
    if history is not None:
        carry(model, replace(history, plan=replace(history.plan, weights=plan.weights)))
    return model


def expected_names(full: nn.Module, plan: Plan, *, closed: bool) -> dict[str, str]:
    """Each weight of `full` that the plan leaves, and the name that it has in the file.

    `closed`: the numbers of a stack are closed up there, as in the shortened model itself.
    """
    slots = slots_of(full, without_growth(plan).places)
    gone = first_paths(full, [path for path in slots if _in_stack(full, path)])
    history = Carried(plan, None, shortened_by(None, gone))
    left = [name for name in full.state_dict() if not any(inside(name, path) for path in slots)]
    first = dict(zip(left, first_paths(full, left), strict=True))
    return {name: closed_up(history, there) if closed else there for name, there in first.items()}


def cuts_of(full: nn.Module, plan: Plan) -> list[Cut]:
    """How deep each stack of `full` is that the plan shortens, and how many of its layers go."""
    slots = slots_of(full, without_growth(plan).places)
    gone = Counter(path.rpartition(".")[0] for path in slots if _in_stack(full, path))
    return [Cut(len(full.get_submodule(stack)._modules), count) for stack, count in gone.items()]


def slots_of(model: nn.Module, places: tuple[str, ...]) -> list[str]:
    """Every path of the layers at `places`: one layer may stand in several. Raises PlaceError for no such layer.

    Of a grown model, `places` are paths of the model first loaded.
    """
    every = dict(model.named_modules(remove_duplicate=False))
    paths = [path for path in every if path]
    known = dict(zip(first_paths(model, paths), paths, strict=True))
    gone = {id(every[known[expand(place, known, model=type(model).__name__)[0]]]) for place in places}
    return [path for path, module in every.items() if id(module) in gone]


def _in_stack(model: nn.Module, path: str) -> bool:
    """Whether the layer at `path` stands in a container that can be shortened."""
    place = stack_of(path)
    if place is None:
        return False
    container = model.get_submodule(place[0])
    return isinstance(container, (nn.ModuleList, nn.Sequential)) and bool(numbered_children(container))


def _shortened(model: nn.Module, plan: Plan) -> nn.Module:
    """Whole layers of stacks taken out without a run: what was saved had them taken out so, and was proved."""
    slots = slots_of(model, plan.places)
    first = first_paths(model, slots)
    gone = {id(model.get_submodule(path)) for path in slots}
    for stack in {path.rpartition(".")[0] for path in slots}:
        container = model.get_submodule(stack)
        layers = [container.get_submodule(name) for name in numbered_children(container)]
        kept = [layer for layer in layers if id(layer) not in gone]
        container._modules.clear()
        container._modules.update({str(number): layer for number, layer in enumerate(kept)})
    before = carried(model)
    carry(model, Carried(before.plan | plan if before else plan, None, shortened_by(None, first)))
    return model
