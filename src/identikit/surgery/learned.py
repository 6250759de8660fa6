"""The weights that stand-ins have of their own, and the plan that names them: each brought in step with the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from identikit.plan import Plan
from identikit.surgery.carried import carried, first_paths
from identikit.surgery.replacements import replacements
from identikit.tensors import name_of


def with_present_tensors(model: nn.Module, plan: Plan) -> Plan:
    """`plan` (in first paths) with what the stand-ins of `model` hold now: they may have been trained since."""
    tensors: dict[str, Any] = dict(plan.tensors)
    fitted = {edit.at: edit for edit in plan if edit.tensors}
    others = plan.edits - set(fitted.values())
    for at, module in _stand_ins(model).items():
        edit = fitted.get(at)
        if edit is None:
            continue
        options = dict(edit.options)
        for key, value in module.state_dict().items():
            known = tensors.get(edit.tensors.get(key, ""))
            if known is None or known.dtype != value.dtype or not torch.equal(known.to(value), value):
                held = value.detach().cpu().clone()
                options[key] = name_of(held)
                tensors[str(options[key])] = held
        fitted[at] = replace(edit, options=tuple(options.items()))
    return replace(plan, edits=others | set(fitted.values()), tensors=tensors)


def take_from_plan(model: nn.Module) -> None:
    """Give the stand-ins of `model` the tensors of the plan that it carries, in the dtype that they have there."""
    history = carried(model)
    if history is None:
        return
    names = {edit.at: edit.tensors for edit in history.plan if edit.tensors}
    for at, module in _stand_ins(model).items():
        for key, name in names.get(at, {}).items():
            own = getattr(module, key)
            own.data = history.plan.tensors[name].detach().to(device=own.device, copy=True)


def own_names(model: nn.Module) -> set[str]:
    """The names in the model's state that are a stand-in's: these lie with the plan, not with the weights."""
    held = replacements(model).items()
    return {f"{path}.replacement.{name}" for path, module in held for name in module.state_dict()}


def _stand_ins(model: nn.Module) -> dict[str, nn.Module]:
    """The replacement in each stand-in that has one, by the path in the model first loaded."""
    found = replacements(model)
    return dict(zip(first_paths(model, list(found)), found.values(), strict=True))
