"""What heal does not train: one clear line, before anything is done."""

from __future__ import annotations

import torch
from torch import nn

from identikit.errors import ModelError, PlanError
from identikit.structure.packed import packed
from identikit.surgery.around import is_edited, refuse_shared
from identikit.surgery.carried import live_plans


def refuse(student: nn.Module, teacher: nn.Module) -> None:
    """Raise PlanError under a live handle, for a model that several processes hold and for a teacher that is the
    student or shares weights with it; ModelError for weights that cannot be trained."""
    name = type(student).__name__
    for model, which in ((student, "student"), (teacher, "teacher")):
        if live_plans(model) or is_edited(model):
            raise PlanError(f"an edit is still applied to the {which}: undo the handle, then heal. {_REMOVE}")
    refuse_shared(student, "Heal first, then wrap: heal spreads the work itself (torchrun, accelerate launch).")
    _refuse_one_model(student, teacher)
    if any(value.is_meta for value in [*student.parameters(), *student.buffers()]):
        raise ModelError(f"weights of {name} are on the meta device or put aside. Load them first, then heal.")
    if any(value.is_inference() for value in [*student.parameters(), *student.buffers()]):
        raise ModelError(f"{name} was made in inference mode, where nothing can be trained. Make it outside of it.")
    quantised = next((at for at, _ in packed(student)), None)
    if quantised is not None:
        raise ModelError(
            f"{name} is quantised ({quantised}), and rounded weights cannot be trained. Heal first, then quantise."
        )
    if not any(value.requires_grad and value.is_floating_point() for value in student.parameters()):
        raise ModelError(f"every weight of {name} is frozen (requires_grad is False). Let some learn, then heal.")


_REMOVE = "To heal a model without these layers, take them out for good: use ik.remove."


def _refuse_one_model(student: nn.Module, teacher: nn.Module) -> None:
    fix = "Copy first: teacher = copy.deepcopy(model), then ik.remove(model, ...)."
    if student is teacher:
        raise PlanError(f"student and teacher are the same model, which has nothing to teach itself. {fix}")
    theirs = {_place(value) for value in [*teacher.parameters(), *teacher.buffers()] if _has_place(value)}
    own = [*student.named_parameters(), *student.named_buffers()]
    shared = next((name for name, value in own if _has_place(value) and _place(value) in theirs), None)
    if shared is not None:
        raise PlanError(f'student and teacher share weights ("{shared}"), so the teacher would change too. {fix}')


def _has_place(value: torch.Tensor) -> bool:
    return not value.is_meta and value.numel() > 0 and type(value.data).__module__.split(".")[0] == "torch"


def _place(value: torch.Tensor) -> tuple[str, int]:
    return str(value.device), value.untyped_storage().data_ptr()
