"""The student that STUDENT names, with the plan that it carries; healed, saved with proof, its checkpoint cleared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

    from identikit.cli.opening import Asked
    from identikit.plan import Plan
    from identikit.results.healed import Healed
    from identikit.sources.opened import Opened

Form = Literal["checkpoint", "plan"]


@dataclass(frozen=True)
class Smaller:
    """The student, and the folder that its tokenizer and the like come from (None where it has none)."""

    model: nn.Module
    folder: Path | None


def student_of(name: str, teacher: str, plan: Path | None, asked: Asked) -> tuple[Smaller, Form]:
    """The model that `name` means, carrying its plan, and the form in which it was saved.

    A folder that identikit wrote says what was taken out; where only the user's code makes the full model, that is the
    teacher's. `plan`: a file that says it of any other. Raises PlanError where the model carries one already.
    """
    from identikit.errors import PlanError
    from identikit.functions import names_function
    from identikit.saving.layout import PLAN, PLAN_WEIGHTS
    from identikit.saving.load import load
    from identikit.surgery.carried import Carried, carried, carry, shortened_by

    place = Path(name).expanduser()
    how: dict[str, Any] = {"device": asked.device, "dtype": asked.dtype, "trust_remote_code": asked.trust_remote_code}
    if (place / PLAN).is_file():
        code = asked.model(teacher) if names_function(teacher) else None
        model = load(place, code.model, inputs=code.inputs, **how) if code is not None else load(place, **how)
        found = Smaller(model, place)
    else:
        opened = asked.model(name)
        found = Smaller(opened.model, opened.folder)
    if plan is not None:
        if carried(found.model) is not None:
            raise PlanError(f'"{name}" says itself what was taken out of it ({place / PLAN}). Leave --plan out.')
        told = _plan_in(plan)
        whole = [edit.at for edit in told if edit.op == "identity"]
        carry(found.model, Carried(told, None, shortened_by(None, whole)))
    return found, "plan" if (place / PLAN_WEIGHTS).is_file() else "checkpoint"


def _plan_in(file: Path) -> Plan:
    """The plan of a plan file, or the one that the curve of a prune chose."""
    from identikit.plan import Plan
    from identikit.results import Front

    if not file.name.endswith(".front.json"):
        return Plan.read(file)
    return Front.read(file).plan()


def healed_and_saved(
    smaller: Smaller, full: Opened, data: Any, to: Path, form: Form, *, resume: bool, overwrite: bool, **how: Any
) -> Healed:
    """Heal, and save to `to`. `to`.heal is written on the way; it survives a kill, and goes once the model is saved."""
    from identikit.cli.console import speaks
    from identikit.disk_errors import explained
    from identikit.files import refuse_link
    from identikit.healing.heal import heal
    from identikit.healing.record import healed
    from identikit.saving.save import save

    with explained(to):
        to.parent.mkdir(parents=True, exist_ok=True)
    file = to.with_name(to.name + ".heal")
    refuse_link(file)
    example = full.inputs if isinstance(data, str) else next(iter(data))
    model = heal(smaller.model, full.model, data, inputs=None, to=file, resume=resume, overwrite=overwrite, **how)
    found = healed(model)
    assert found is not None  # heal leaves it
    if speaks():
        save(model, to, form, like=smaller.folder or full.folder, overwrite=overwrite, inputs=example)
        with explained(file):
            file.unlink(missing_ok=True)
    return found
