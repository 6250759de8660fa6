"""`save`: the edited model as a checkpoint that its library loads without identikit, or as weights and plan."""

from __future__ import annotations

import json
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from torch import nn

from identikit.batches import Batch, as_inputs
from identikit.errors import IdentikitWarning, InputsError, PlanError, RoleError, SaveError
from identikit.families import Family, family_of
from identikit.families.plain import WEIGHTS
from identikit.files import write_text
from identikit.heads.cut_record import told_of_a_cut
from identikit.plan import GROWING, Plan
from identikit.saving.card import write_card
from identikit.saving.folder import proved_folder
from identikit.saving.layout import CONFIGURATION, PLAN, PLAN_WEIGHTS
from identikit.saving.proof import output_of, prove_checkpoint, prove_plan
from identikit.saving.weights import first_name, note_example, write_weights
from identikit.saving.zeroed import told, zeroed_places, zeros_in_place
from identikit.simplifying.record import refuse_simplified
from identikit.structure.fingerprints import structure_of
from identikit.structure.override import refuse_edited_elsewhere
from identikit.structure.stacks import stack_of
from identikit.structure.wrappers import unwrapped
from identikit.surgery.around import refuse_sharded
from identikit.surgery.carried import Carried, carried, live_plans
from identikit.surgery.forwards import RunAndFill, Told
from identikit.surgery.learned import with_present_tensors
from identikit.surgery.resampled import refuse_for_good
from identikit.surgery.substitutes import SUBSTITUTES
from identikit.turns import in_turn

Format = Literal["checkpoint", "plan"]


@in_turn
def save(
    model: nn.Module,
    folder: str | Path,
    format: Format = "checkpoint",  # the public name
    *,
    like: str | Path | None = None,
    overwrite: bool = False,
    inputs: Any = None,
    family: Family | None = None,
) -> Path:
    """Save `model` to `folder`, proved: what was written is loaded again and computes the same, or nothing is written.

    Args:
        format: "checkpoint" loads with the model's own library, without identikit; "plan" keeps the full configuration
            beside the remaining weights and the plan, and loads with `ik.load`. Of a model without some branches
            (attention, MLP) a checkpoint holds zeros in their place: no faster, and an IdentikitWarning says so.
        like: the folder whose tokenizer, processor, chat template and the like travel along.
        overwrite: replace a model folder; the old one stays until the new one is proved.
        inputs: one example of what forward takes; the family's own where None.

    Raises:
        SaveError: the folder exists or cannot be written, or the library's loader gives back another model (the
            configuration cannot express the removal: the message names `format="plan"`; or `ik.simplify` has folded
            layers together: it names `ik.export`).
        PlanError: a Handle is live and a checkpoint was asked for. InputsError: no example is known.
    """
    model = unwrapped(model)
    refuse_sharded(model)
    refuse_edited_elsewhere(model)
    refuse_simplified(model)
    target, family = Path(folder), family_of(model, family)
    if format not in ("checkpoint", "plan"):
        raise SaveError(f'format={format!r} is neither "checkpoint" nor "plan".')
    if live_plans(model) and format == "checkpoint":
        raise PlanError('layers of this model are only bypassed. Use ik.remove, or save the plan (format="plan").')
    refuse_for_good(plan_of(model), "saved", SaveError)
    companions = Path(like) if like is not None else None
    if companions is not None and not companions.is_dir():
        raise SaveError(f"no folder {companions} for the tokenizer to come from (like=).")
    if format == "checkpoint":
        _refuse_replaced(model)
    batch = _example(model, family, inputs)
    with proved_folder(target, overwrite) as partial, told_of_a_cut(model):
        if format == "checkpoint":
            _write_checkpoint(model, family, partial, companions, batch, target)
        else:
            _write_plan(model, family, partial, companions, batch, target)
    zeroed = zeroed_places(model) if format == "checkpoint" and family.self_contained else ()
    if zeroed:
        warnings.warn(told(zeroed), IdentikitWarning, stacklevel=3)
    return target


def plan_of(model: nn.Module) -> Plan:
    """Everything that is out of action in `model`: what was removed and what is bypassed now."""
    history = carried(model)
    plan = history.plan if history else Plan(fingerprint=structure_of(model), model=type(model).__name__)
    for live in live_plans(model):
        plan = plan | live
    return with_present_tensors(model, plan)


def _refuse_replaced(model: nn.Module) -> None:
    """Raise SaveError for a model with stand-ins that compute something: no library has a layer for them."""
    replaced = next((edit for edit in plan_of(model) if edit.op in SUBSTITUTES), None)
    if replaced is not None:
        raise SaveError(
            f'"{replaced.at}" was replaced ({replaced.op}), which no configuration of {type(model).__name__} can '
            'express. Save the plan instead: format="plan" (--format plan).'
        )


def _example(model: nn.Module, family: Family, inputs: Any) -> Batch:
    batch = as_inputs(inputs) if inputs is not None else family.example(model)
    if batch is None:
        raise InputsError(f"saving proves itself on one example of what {type(model).__name__} takes. Pass inputs=...")
    device = next((value.device for value in model.parameters() if not value.is_meta), None)
    return batch.to(device) if device is not None else batch


def _write_checkpoint(
    model: nn.Module, family: Family, partial: Path, like: Path | None, batch: Batch, target: Path
) -> None:
    expected = output_of(model, family, batch)
    zeroed = zeroed_places(model) if family.self_contained else ()
    with zeros_in_place(model) if zeroed else nullcontext():
        family.save(model, partial, like)
    proof = prove_checkpoint(model, family.rebuild(partial, model), family, batch, expected, target, zeroed)
    history, plan = carried(model), plan_of(model)
    if history is not None or not family.self_contained:
        plan.write(partial / PLAN)
        _write_configuration(history.configuration if history else family.configuration(model), partial)
        if not family.self_contained and _needs_example(model, history) and (partial / WEIGHTS).is_file():
            note_example(partial / WEIGHTS)
    write_card(model, family, partial, target, form="checkpoint", plan=plan, proof=proof, like=like, zeroed=zeroed)


def _write_plan(model: nn.Module, family: Family, partial: Path, like: Path | None, batch: Batch, target: Path) -> None:
    """The library's own files without its weights, the remaining weights, the first configuration and the plan."""
    expected = output_of(model, family, batch)
    family.accompany(model, partial, like)
    history = carried(model)
    _write_configuration(history.configuration if history else family.configuration(model), partial)
    plan = plan_of(model)
    plan.write(partial / PLAN)
    write_weights(model, partial / PLAN_WEIGHTS, gone=_bypassed(model), needs_example=_needs_example(model, history))
    proof = prove_plan(model, family, partial, batch, expected, target)
    write_card(model, family, partial, target, form="plan", plan=plan, proof=proof, like=like)


def _write_configuration(configuration: dict[str, Any] | None, partial: Path) -> None:
    if configuration is not None:
        write_text(partial / CONFIGURATION, json.dumps(configuration, indent=2, default=str) + "\n")


def _needs_example(model: nn.Module, history: Carried | None) -> bool:
    """Whether shortening stacks alone does not give this model: stand-ins, inner edits, layers only bypassed."""
    gone = history.shortened if history else {}
    edits = [edit for edit in plan_of(model) if edit.op not in GROWING]
    places = [stack_of(edit.at) if edit.op == "identity" else None for edit in edits]
    return any(place is None or place[1] not in gone.get(place[0], ()) for place in places)


def _bypassed(model: nn.Module) -> set[str]:
    """Every path (in the model first loaded) of the layers that live handles put out of action."""
    live = {place for plan in live_plans(model) for place in plan.places}
    slots = [(first_name(model, path), module) for path, module in model.named_modules(remove_duplicate=False)]
    gone = {id(module) for path, module in slots if path in live}
    for path, module in slots:
        if id(module) in gone and _needs_its_weights(module):
            raise RoleError(
                f'the bypassed "{path}" still runs, for its output\'s shape, so a plan folder cannot leave it out. '
                "Bypass the branch around it."
            )
    return {path for path, module in slots if id(module) in gone}


def _needs_its_weights(module: nn.Module) -> bool:
    """Whether a bypassed layer is run all the same, because nothing else tells its output's shape."""
    forward = vars(module).get("forward")
    while isinstance(forward, Told):
        forward = forward.forward
    return isinstance(forward, RunAndFill)
