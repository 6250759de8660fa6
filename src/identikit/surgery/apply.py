"""`bypass`, `only`, `apply`: layers out of action until the handle is undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from identikit.errors import PlaceError, RoleError
from identikit.families.anatomy import anatomy_of
from identikit.families.plain import Family
from identikit.plan import Option, Plan
from identikit.structure.stacks import members
from identikit.surgery.check import checked
from identikit.surgery.choose import plan_for
from identikit.surgery.handle import Handle
from identikit.surgery.install import install
from identikit.surgery.on_data import watched_on
from identikit.turns import in_turn

__all__ = ["apply", "bypass", "checked", "install", "only"]


@in_turn
def bypass(
    model: nn.Module,
    *places: str | Iterable[str],
    inputs: Any = None,
    family: Family | None = None,
    as_: str | None = None,
    data: Any = None,
    batch_size: int | None = None,
    options: Mapping[str, Option] | None = None,
) -> Handle:
    """Put layers out of action: a block hands its input on, a branch gives zero, a gate gives one.

    Use it as a context manager, or call `.undo()`. The model's keys, types and attributes stay, and so do the places
    in what a transformers model collects: with `output_hidden_states=True` the entry behind a bypassed layer repeats
    the one in front of it; with `output_attentions=True` (in eager mode) its entry is None. A removed model has no
    entry for the layer. A model that cannot tell what such a layer returns raises RoleError when it is asked.

    Args:
        model: the model; edited until the handle is undone.
        places: "encoder.layer.2", "encoder.layer.[4:6]", "model.layers.*.mlp"; several unite.
        inputs: one example of what forward takes (tensor, tuple or dict); the family's own where None.
        as_: "identity", "zero" or "one" where identikit does not prove a layer's role and you know it. Or what stands
            for the layer instead: its "mean" over `data` (a vector of features: over examples and positions, padding
            left out where the batch holds a mask); a parameter-free "shortcut" from its input to its output; an
            "adapter", a linear map of the features fitted to `data` by least squares. They replace layers that change
            resolution or width too; several at once are fitted to the unedited model. Or "resample": the layer runs,
            and what it contributes is taken from the example before in the batch (Chan et al. 2022; Zhang and Nanda
            2024): of a block what it adds to its stream, else its output. Needs batches of two examples or more.
        data: for "mean" and "adapter": a list of batches, a DataLoader, a Dataset (with `batch_size`). Its first batch
            is the example where `inputs` is None.
        options: of "shortcut" `down` ("subsample" or "average") and `side` ("both", "front", "behind": where the zeros
            for new features go), of "adapter" `down` and `ridge` (a share of the inputs' own size; chosen on held-out
            examples where it is left out), of "resample" `of` ("contribution" or "output"), of all others `axis` (1:
            features first, -1: last) and `stride` where the shapes of the example do not tell them.

    Raises:
        PlaceError: no such layer. NotReachedError: the forward pass never runs it. RoleError: its role is not proved,
        or no such replacement has its output's shape. DataError: no data where it is needed, or none to learn from.
        PlanError: an option that there is not. InputsError: no example is known. The model is as it was after any.
    """
    anatomy, read = watched_on(model, inputs, data, batch_size, family)
    return install(anatomy, plan_for(anatomy, _flat(places), as_, read, options))


@in_turn
def only(model: nn.Module, *places: str | Iterable[str], inputs: Any = None, family: Family | None = None) -> Handle:
    """Keep the layers at `places`; the rest of their stacks is the identity. Raises as `bypass` does."""
    anatomy = anatomy_of(model, inputs, family)
    kept = set(anatomy.resolve(*_flat(places)))
    others: list[str] = []
    for stack in {path.rpartition(".")[0] for path in kept}:
        children = members(anatomy.model.get_submodule(stack))
        if not children:
            where = f'"{stack}"' if stack else type(model).__name__
            raise RoleError(f"{where} is no stack of numbered layers, so there is no rest to put out of action.")
        here = [f"{stack}.{name}" if stack else name for name in children]
        others += [path for path in anatomy.resolve(*here) if path not in kept]
    return install(anatomy, plan_for(anatomy, others))


def _flat(places: tuple[str | Iterable[str], ...]) -> list[str]:
    """The places, given one by one or as lists. Raises PlaceError where there are none: an empty edit is a slip."""
    flat = [one for place in places for one in ([place] if isinstance(place, str) else place)]
    if not flat:
        raise PlaceError('no layer is named. Name one: "encoder.layer.2", or several.')
    return flat


@in_turn
def apply(model: nn.Module, plan: Plan, *, inputs: Any = None, family: Family | None = None) -> Handle:
    """Apply `plan` until the handle is undone. Raises PlanError for another model's plan, else as `bypass` does."""
    return install(anatomy_of(model, inputs, family), plan)
