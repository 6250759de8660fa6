"""What was written is loaded again and compared with the model that was saved: what it computes, how it decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch, tensors_of
from identikit.errors import SaveError
from identikit.families import Family
from identikit.plan import GROWING, Plan
from identikit.reporting.card import Proof
from identikit.saving.buffers import in_dtypes_of
from identikit.saving.layout import PLAN, PLAN_WEIGHTS
from identikit.saving.load import first_configuration
from identikit.saving.replay import constructed, replayed
from identikit.saving.weights import fill, first_name, read_weights
from identikit.structure.compare import difference, largest_gap
from identikit.structure.traceless import traceless
from identikit.surgery.carried import carried
from identikit.surgery.decoding import lost_by_loading


def prove_checkpoint(
    model: nn.Module,
    again: nn.Module,
    family: Family,
    batch: Batch,
    expected: Any,
    target: Path,
    zeroed: tuple[str, ...] = (),
) -> Proof:
    """How it was proved. Raises SaveError where `again`, as its library loads it, is not the `model` that was saved."""
    history = carried(model)
    grown = history is not None and any(edit.op in GROWING for edit in history.plan)
    put = f"its configuration cannot express what was {'put in' if grown else 'removed'}"
    again = in_dtypes_of(again, model)
    found = output_of(again, family, batch)
    if difference(found, expected) > 1:
        zeros = f" with zeros in the place of {', '.join(zeroed)}" if zeroed else ""
        wrong = f"computes something else{zeros}: {put}"
    elif history is not None and (lost := lost_by_loading(again, model, family, batch)):
        wrong = f"computes the same, but {lost}: {put}"
    else:
        by = "by its library's own loader" if family.self_contained else "into a copy of the model"
        return Proof(f"it was loaded again {by}", *largest_gap(found, expected), batch.examples)
    raise SaveError(
        f"{target}: loaded again, this {type(model).__name__} {wrong}. Nothing was written. Save the plan instead: "
        'format="plan" (--format plan).'
    )


def prove_plan(model: nn.Module, family: Family, partial: Path, batch: Batch, expected: Any, target: Path) -> Proof:
    """How it was proved: the plan folder is loaded again and outputs are compared.

    Weights alone where only the user's code makes the full model. Raises SaveError where something differs.
    """
    stored, plan = read_weights(partial / PLAN_WEIGHTS), Plan.read(partial / PLAN)
    again = constructed(partial, plan, first_configuration(partial), family)
    if again is None:
        own = {first_name(model, name): value for name, value in model.state_dict().items()}
        unlike = (name for name, value in stored.tensors.items() if not torch.equal(value, own[name].cpu()))
        wrong = [f"{name} differs" for name in unlike]
        proof = Proof("its weights were read again and compared bit for bit; only your code makes the model from them")
    else:
        device = next((value.device for value in tensors_of((batch.args, batch.kwargs))), torch.device("cpu"))
        again = replayed(again.to(device), plan, batch, family)
        fill(again, stored, by_first_name=True)
        found = output_of(in_dtypes_of(again.eval(), model), family, batch)
        wrong = [] if difference(found, expected) <= 1 else ["its output differs"]
        by = "the model was made again from its configuration and the plan"
        proof = Proof(by, *largest_gap(found, expected), batch.examples) if not wrong else Proof(by)
        lost = "" if wrong else lost_by_loading(again, model, family, batch)
        wrong += [lost] if lost else []
    if wrong:
        raise SaveError(
            f"{target}: loaded again, this {type(model).__name__} is not the same ({wrong[0]}). Nothing was written."
        )
    return proof


def output_of(model: nn.Module, family: Family, batch: Batch) -> Any:
    """One pass; a model that draws random numbers draws the same ones in both."""
    with family.quiet(model), traceless(model):
        torch.manual_seed(0)
        return batch.copied().call(model)
