"""`load`: a model back from a folder that `save` wrote, the plan replayed where the folder holds one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from identikit.errors import ModelError, SaveError
from identikit.families import Family, family_of
from identikit.families.plain import WEIGHTS
from identikit.plan import Plan
from identikit.saving.save import CONFIGURATION, PLAN, PLAN_WEIGHTS
from identikit.sources.model import open_model
from identikit.structure.stacks import numbered_children, stack_of
from identikit.surgery.carried import Carried, carry, shortened_by
from identikit.surgery.remove import remove


def load(
    folder: str | Path,
    model: nn.Module | None = None,
    *,
    inputs: Any = None,
    family: Family | None = None,
    device: str = "auto",
    dtype: str | None = None,
    trust_remote_code: bool = False,
) -> nn.Module:
    """The model of `folder`, in eval mode: a library's checkpoint, or full configuration, plan and weights.

    Args:
        model: the full model as its code makes it, for a plain nn.Module; edited in place and returned.
        inputs: one example of what forward takes, where a plain model's plan holds more than whole layers of a stack.

    Raises:
        ModelError: no model there, or a plain one without `model=`. SaveError: the weights do not fit the plan.
    """
    place = Path(folder)
    if (place / PLAN_WEIGHTS).exists():
        plan = Plan.read(place / PLAN)
        full = model if model is not None else _constructed(place, plan)
        return _filled(place / PLAN_WEIGHTS, _replayed(full, plan, inputs, family), device, dtype)
    if model is not None and (place / WEIGHTS).exists():
        plan = Plan.read(place / PLAN) if (place / PLAN).exists() else Plan()
        return _filled(place / WEIGHTS, _replayed(model, plan, inputs, family), device, dtype)
    ours = (place / PLAN).exists() and (place / WEIGHTS).exists()
    if ours and not any((place / name).exists() for name in ("config.json", "modules.json")):
        raise ModelError(f"{place} holds the weights of a plain nn.Module, whose code is yours. Pass it: model=...")
    opened = open_model(str(place), device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    if (place / PLAN).exists():
        plan = Plan.read(place / PLAN)
        whole = [edit.at for edit in plan if edit.op == "identity" and stack_of(edit.at)]
        carry(opened.model, Carried(plan, None, shortened_by(None, whole)))
    return opened.model


def _constructed(place: Path, plan: Plan) -> nn.Module:
    """The full model with weights still to come, made from the first configuration."""
    if not (place / CONFIGURATION).exists():
        raise ModelError(f"{place} holds the plan of a plain nn.Module, whose code is yours. Pass it: model=...")
    try:
        configuration = json.loads((place / CONFIGURATION).read_text(encoding="utf-8"))
    except ValueError as cause:
        raise ModelError(f"{place / CONFIGURATION} is damaged: {cause}.") from cause
    from identikit.families import FAMILIES

    for family in FAMILIES:
        made = family.construct(place, configuration, plan.model)
        if made is not None:
            return made.eval()
    raise ModelError(
        f"no library here can make a {plan.model} from {place / CONFIGURATION}. Pass the full model: model=..."
    )


def _replayed(model: nn.Module, plan: Plan, inputs: Any, family: Family | None) -> nn.Module:
    if not plan.edits:
        return model
    known = inputs is not None or family_of(model, family).example(model) is not None
    if known:
        return remove(model, plan, inputs=inputs, family=family)
    return _shortened(model, plan)


def _shortened(model: nn.Module, plan: Plan) -> nn.Module:
    """Whole layers of stacks need no example: their containers are shortened, and the weights' names prove it."""
    gone: set[int] = set()
    stacks: set[str] = set()
    for edit in plan:
        place = stack_of(edit.at)
        if edit.op != "identity" or place is None:
            raise ModelError(f'the plan has "{edit}", which takes one example of the input to replay. Pass inputs=...')
        gone.add(id(model.get_submodule(edit.at)))
        stacks.add(place[0])
    for stack in stacks:
        container = model.get_submodule(stack)
        layers = [container.get_submodule(name) for name in numbered_children(container)]
        kept = [layer for layer in layers if id(layer) not in gone]  # a layer that stands in two slots goes from both
        container._modules.clear()
        container._modules.update({str(number): layer for number, layer in enumerate(kept)})
    carry(model, Carried(plan, None, shortened_by(None, list(plan.places))))
    return model


def _filled(weights: Path, model: nn.Module, device: str, dtype: str | None) -> nn.Module:
    """`model` with the weights of the file, every one of them; tied weights are stored once."""
    held = load_file(weights)
    missing, unexpected = model.load_state_dict(held, strict=False)
    tied = {id(model.state_dict(keep_vars=True)[name]) for name in held if name in model.state_dict(keep_vars=True)}
    lacking = [name for name in missing if id(model.state_dict(keep_vars=True)[name]) not in tied]
    if lacking or unexpected:
        raise SaveError(
            f"{weights} does not fit the model without its removed layers: {sorted([*lacking, *unexpected])[0]}."
        )
    if dtype not in (None, "auto"):
        model = model.to(getattr(torch, dtype))
    else:
        floating = next((value.dtype for value in held.values() if value.is_floating_point()), None)
        model = model.to(floating) if floating is not None else model
    if device != "auto" or torch.cuda.is_available():
        model = model.to("cuda" if device == "auto" else device)
    return model.eval()
