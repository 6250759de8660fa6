"""`load`: a model back from a folder that `save` wrote, the plan replayed where the folder holds one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit import strict_json
from identikit.errors import IdentikitWarning, ModelError, PlaceError, PlanError, ResultError
from identikit.families import Family, family_of
from identikit.families.plain import WEIGHTS
from identikit.growing.regrow import regrow
from identikit.plan import Plan
from identikit.results.provenance import Provenance
from identikit.saving.layout import CONFIGURATION, PLAN, PLAN_WEIGHTS, PROVENANCE
from identikit.saving.replay import constructed, cuts_of, expected_names, replayed
from identikit.saving.weights import check_fits, fill, first_name, read_weights
from identikit.saving.zeroed import take_out_zeroed
from identikit.sources.device import read_device, read_dtype
from identikit.sources.model import open_model
from identikit.surgery.carried import Carried, carried, carry, shortened_by
from identikit.surgery.carried_provenance import carry_provenance
from identikit.surgery.learned import own_names
from identikit.turns import in_turn

_LIBRARIES = ("config.json", "modules.json")


@in_turn
def load(
    folder: str | Path,
    model: nn.Module | None = None,
    *,
    inputs: Any = None,
    family: Family | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    trust_remote_code: bool = False,
) -> nn.Module:
    """The model of `folder`, in eval mode: a library's checkpoint, or full configuration, plan and weights.

    It carries its plan: a further removal is united with it, and places mean the model as it is now. Branches that a
    checkpoint holds as zeros are taken out again, where an example of the input is known.

    Args:
        model: the full model as its code makes it, for a plain nn.Module; edited in place and returned.
        inputs: one example of what forward takes, where a plain model's plan holds more than whole layers of a stack.
        device: where it goes ("auto": the GPU where there is one). dtype: another than the one it was saved in.

    Raises:
        ModelError: no model there, or a plain one without `model=`. PlanError: a damaged plan, or another model's.
        SaveError: the weights do not fit the plan; the model handed in is then as it was.
    """
    made = _loaded(
        Path(folder), model, inputs=inputs, family=family, device=device, dtype=dtype,
        trust_remote_code=trust_remote_code,
    )  # fmt: skip
    carry_provenance(made, stored_provenance(Path(folder)))
    return made


def _loaded(
    place: Path, model: nn.Module | None, *, inputs: Any, family: Family | None, device: str | torch.device,
    dtype: str | torch.dtype | None, trust_remote_code: bool,
) -> nn.Module:  # fmt: skip
    """The model of the folder `place`."""
    wanted, where = read_dtype(dtype), read_device(device)
    file = place / (PLAN_WEIGHTS if (place / PLAN_WEIGHTS).is_file() else WEIGHTS)
    if file.name == PLAN_WEIGHTS or (model is not None and file.is_file()):
        made = _from_plan(place, file, model, inputs, family)
        return made.to(device=where if device != "auto" or where.type != "cpu" else None, dtype=wanted).eval()
    if (place / PLAN).is_file() and file.is_file() and not any((place / name).is_file() for name in _LIBRARIES):
        full = constructed(place, Plan.read(place / PLAN), first_configuration(place), family)
        if full is None:
            raise ModelError(f"{place} holds the weights of a plain nn.Module, whose code is yours. Pass it: model=...")
        how: dict[str, Any] = {"family": family, "device": device, "dtype": dtype}
        return _loaded(place, full, inputs=inputs, trust_remote_code=trust_remote_code, **how)
    plan = Plan.read(place / PLAN) if (place / PLAN).is_file() else None
    opened = open_model(str(place), device=device, dtype=dtype, trust_remote_code=trust_remote_code)
    if plan is not None:
        whole = [edit.at for edit in plan if edit.op == "identity"]
        carry(opened.model, Carried(plan, first_configuration(place), shortened_by(None, whole)))
        take_out_zeroed(opened.model, plan, inputs, family)
    return opened.model


def _from_plan(place: Path, file: Path, model: nn.Module | None, inputs: Any, family: Family | None) -> nn.Module:
    """Replay the plan on the full model, then give it the weights that were saved."""
    plan = Plan.read(place / PLAN) if (place / PLAN).is_file() or file.name == PLAN_WEIGHTS else Plan()
    stored = read_weights(file)
    full = model if model is not None else constructed(place, plan, first_configuration(place), family)
    if full is None and not (place / CONFIGURATION).is_file():
        raise ModelError(f"{place} holds the plan of a plain nn.Module, whose code is yours. Pass it: model=...")
    if full is None:
        raise ModelError(
            f"no library here can make a {plan.model or 'model'} from {place / CONFIGURATION}. "
            "Pass the full model: model=..."
        )
    first = file.name == PLAN_WEIGHTS
    if _is_edited_so(full, plan):
        names = [name for name in full.state_dict() if name not in own_names(full)]
        check_fits(stored, full, {name: first_name(full, name) if first else name for name in names})
        fill(full, stored, by_first_name=first)
        return full
    with _read_from(place / PLAN), ExitStack() as undo:
        undo.callback(regrow(full, plan, family_of(full, family)))
        if first or not stored.needs_example:
            check_fits(stored, full, expected_names(full, plan, closed=not first), cuts_of(full, plan))
        made = replayed(full, plan, inputs, family, needs_example=stored.needs_example)
        undo.pop_all()
    fill(made, stored, by_first_name=first)
    return made


@contextmanager
def _read_from(file: Path) -> Iterator[None]:
    """A plan that does not fit is told with its file."""
    try:
        yield
    except (PlaceError, PlanError) as cause:
        raise type(cause)(f"{file}: {cause}") from cause


def _is_edited_so(model: nn.Module, plan: Plan) -> bool:
    """Whether a model handed in had the plan's edits already: a cut that came after them cannot be made before."""
    before = carried(model)
    return before is not None and bool(plan.edits) and before.plan.edits == plan.edits


def stored_provenance(place: Path) -> Provenance:
    """What the folder says was done to its model. What cannot be read is told, and left: the model is whole."""
    if not (place / PROVENANCE).is_file():
        return Provenance()
    try:
        return Provenance.read(place / PROVENANCE)
    except ResultError as cause:
        warnings.warn(f"{cause} The model is loaded without its history.", IdentikitWarning, stacklevel=4)
        return Provenance()


def first_configuration(place: Path) -> dict[str, Any] | None:
    """The configuration of the model first loaded, where the folder holds it. Raises ModelError where it is damaged."""
    if not (place / CONFIGURATION).is_file():
        return None
    value = strict_json.read(place / CONFIGURATION, "configuration", ModelError)
    if not isinstance(value, dict):
        raise ModelError(f"the configuration {place / CONFIGURATION} is damaged: it is no JSON object.")
    return value
