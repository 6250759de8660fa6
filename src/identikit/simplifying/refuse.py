"""What simplify does not touch: one clear line, before anything is done."""

from __future__ import annotations

from torch import nn

from identikit.errors import ModelError, PlanError
from identikit.surgery.around import is_edited, refuse_shared
from identikit.surgery.carried import live_plans


def refuse(model: nn.Module) -> None:
    """Raise PlanError under a live handle or for a model that several processes hold; ModelError in train mode, for
    compiled layers and weights without values."""
    name = type(model).__name__
    if live_plans(model) or is_edited(model):
        raise PlanError("an edit is still applied to this model. Undo the handle first, then simplify.")
    refuse_shared(model, "Simplify first, then wrap.")
    training = next((path for path, module in model.named_modules() if module.training), None)
    if training is not None:
        which = f'"{training}" of {name}' if training else name
        raise ModelError(f"{which} is in train mode; simplify folds what evaluation computes. Call model.eval() first.")
    compiled = next((path for path, module in model.named_modules() if _compiled(module)), None)
    if compiled is not None:
        which = f'"{compiled}" of {name}' if compiled else name
        raise ModelError(f"{which} is compiled; what was compiled would not change. Simplify first, then compile.")
    if any(value.is_meta for value in model.parameters()):
        raise ModelError(f"weights of {name} are on the meta device or put aside. Load them first, then simplify.")


def _compiled(module: nn.Module) -> bool:
    """Whether torch.compile made or changed this module."""
    return type(module).__module__.startswith("torch._dynamo") or (
        getattr(module, "_compiled_call_impl", None) is not None
    )
