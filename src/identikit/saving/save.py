"""`save`: the edited model as a checkpoint that its library loads without identikit, or as weights and plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_model
from torch import nn

from identikit.batches import Batch, as_inputs
from identikit.errors import InputsError, PlanError, SaveError
from identikit.families import Family, family_of
from identikit.files import write_text
from identikit.plan import Plan
from identikit.saving.folder import proved_folder
from identikit.structure.compare import difference
from identikit.structure.fingerprints import structure_of
from identikit.structure.traceless import traceless
from identikit.surgery.carried import carried, live_plans

Format = Literal["checkpoint", "plan"]
PLAN = "plan.json"
CONFIGURATION = "configuration.json"
#: Not a name that a model library looks for: loaded without the plan, these weights would be a silently wrong model.
PLAN_WEIGHTS = "identikit-weights.safetensors"
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


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
            beside the remaining weights and the plan, and loads with `ik.load`.
        like: the folder whose tokenizer, processor, chat template and the like travel along.
        overwrite: replace a model folder; the old one stays until the new one is proved.
        inputs: one example of what forward takes; the family's own where None.

    Raises:
        SaveError: the folder exists or cannot be written, or the library's loader gives back another model (the
            configuration cannot express the removal: the message names `format="plan"`).
        PlanError: a Handle is live and a checkpoint was asked for. InputsError: no example is known.
    """
    target, family = Path(folder), family_of(model, family)
    if format not in ("checkpoint", "plan"):
        raise SaveError(f'format={format!r} is neither "checkpoint" nor "plan".')
    if live_plans(model) and format == "checkpoint":
        raise PlanError('layers of this model are only bypassed. Use ik.remove, or save the plan (format="plan").')
    batch = _example(model, family, inputs)
    companions = Path(like) if like is not None else None
    with proved_folder(target, overwrite) as partial:
        if format == "checkpoint":
            _write_checkpoint(model, family, partial, companions, batch, target)
        else:
            _write_plan(model, family, partial, companions)
    return target


def plan_of(model: nn.Module) -> Plan:
    """Everything that is out of action in `model`: what was removed and what is bypassed now."""
    history = carried(model)
    plan = history.plan if history else Plan(fingerprint=structure_of(model), model=type(model).__name__)
    for live in live_plans(model):
        plan = plan | live
    return plan


def _example(model: nn.Module, family: Family, inputs: Any) -> Batch:
    batch = as_inputs(inputs) if inputs is not None else family.example(model)
    if batch is None:
        raise InputsError(f"saving proves itself on one example of what {type(model).__name__} takes. Pass inputs=...")
    device = next((parameter.device for parameter in model.parameters()), None)
    return batch.to(device) if device is not None else batch


def _write_checkpoint(
    model: nn.Module, family: Family, partial: Path, like: Path | None, batch: Batch, target: Path
) -> None:
    expected = _output(model, family, batch)
    family.save(model, partial, like)
    again = family.rebuild(partial, model)
    distance = difference(_output(again, family, batch), expected)
    if distance > 1:
        raise SaveError(
            f"{target}: loaded again, this {type(model).__name__} computes something else: its configuration cannot "
            'express what was removed. Nothing was written. Save the plan instead: format="plan" (--format plan).'
        )
    if carried(model) is not None:
        plan_of(model).write(partial / PLAN)


def _write_plan(model: nn.Module, family: Family, partial: Path, like: Path | None) -> None:
    """The library's own files without its weights, the remaining weights, the first configuration and the plan."""
    family.save(model, partial, like)
    for pattern in _WEIGHTS:
        for file in partial.rglob(pattern):
            file.unlink()
    save_model(model, str(partial / PLAN_WEIGHTS))
    history = carried(model)
    configuration = history.configuration if history else family.configuration(model)
    if configuration is not None:
        write_text(partial / CONFIGURATION, json.dumps(configuration, indent=2, default=str) + "\n")
    plan_of(model).write(partial / PLAN)


def _output(model: nn.Module, family: Family, batch: Batch) -> Any:
    with family.quiet(model), traceless(model):
        return batch.call(model)
