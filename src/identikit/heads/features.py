"""`features`: a model without its head, or ended at any layer. Proposed on the model itself, proved, else put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.errors import InputsError, NotReachedError, PlaceError, PlanError, RoleError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.plain import Family
from identikit.heads.cut import drop_what_no_longer_runs, end_at, ways
from identikit.heads.cut_proof import proved, recorded_input, recorded_output
from identikit.heads.cut_record import RECORD, Before, Features
from identikit.heads.ending import CutForward, Refusing, label_names, refuse_labels
from identikit.heads.head import NOT_RUN, given, heads
from identikit.heads.no_head import not_proved, refuse_without_scores
from identikit.heads.own_cut import cut_by_its_own_method
from identikit.heads.snapshot import structure_kept
from identikit.replacing.layout import features_axis
from identikit.structure.compare import difference
from identikit.structure.trees import Path, leaves
from identikit.structure.trees import at as leaf_at
from identikit.structure.wrappers import unwrapped
from identikit.surgery.around import is_edited, refuse_shared
from identikit.surgery.carried import live_plans
from identikit.turns import in_turn


@in_turn
def features(model: nn.Module, at: str | None = None, *, inputs: Any = None, family: Family | None = None) -> nn.Module:
    """Cut the head off a classifier, in place; returns the model, which now gives one vector of features per example.

    All after the last pooling or flatten goes: AlexNet gives 9,216 features, ResNet-50 2,048. The weights of what goes
    leave `parameters()` and the state dict; the other layers keep their names. What the model gives is proved: on the
    example it is bit for bit what the first layer of the head took in the full model, and noise put in its place
    reaches the output untouched. A timm model is cut by its own `reset_classifier(0)`. A transformers model loses what
    stands behind its inner model and pooling (a BERT keeps its pooler); it returns the same kind of output as
    before, the features standing in `logits`, and refuses `labels=`.

    With `at=` the model returns what that layer returns, as it stands in the full model. The layers behind it are not
    computed any more, and the weights of those that ran behind it are gone.

    `model.identikit_features` tells what came out: `width` (the number of features), `shape` (of one example's
    output), `removed` (paths), `parameters` (how many went), `at`.

    Args:
        model: a classifier, edited in place; with `at=`, any model.
        at: the path of the layer to end at ("layer3"); it must run once in a pass.
        inputs: one example of what forward takes, at the usual size; the family's own where None.

    Raises:
        RoleError: the model has no head that is proved to be one (it predicts tokens, gives scores for every position,
            returns several things), or the layer's output is not the model's once it ends there. PlaceError: `at` is
            no layer, or several. NotReachedError: the layer never runs. PlanError: a handle is applied, or several
            processes share the model. InputsError: no example is known, it holds labels, or the weights have no values.
            The model is as it was after any of them.
    """
    inner = unwrapped(model)  # without what torch has put around it
    refuse_shared(model)
    anatomy = anatomy_of(model, inputs, family)
    _check_ready(anatomy)
    before, put_back = Before(inner), structure_kept(inner)
    try:
        record = _without_head(anatomy, before, put_back) if at is None else _ended_at(anatomy, at, before)
    except BaseException:
        put_back()
        raise
    for each in (inner, model):
        vars(each)[RECORD] = record
    return model


def _check_ready(anatomy: Anatomy) -> None:
    model, batch = anatomy.model, anatomy.batch
    if live_plans(model) or is_edited(model):
        raise PlanError("an edit is still applied to this model. Undo the handle, then cut.")
    refuse_labels(model, label_names(model), batch.args, batch.kwargs)
    if any(isinstance(leaf, torch.Tensor) and leaf.is_meta for _, leaf in leaves(anatomy.watched.output)):
        raise InputsError(
            f"the weights of {type(model).__name__} have no values (meta device), so no cut could be proved. "
            "Load them, then cut."
        )


def _without_head(anatomy: Anatomy, before: Before, put_back: Callable[[], None]) -> Features:
    model = anatomy.model
    way, scores = refuse_without_scores(anatomy)
    found = cut_by_its_own_method(anatomy)
    if found is None:
        put_back()
        found = _cut_by_proposals(anatomy, way, scores, put_back)
    if found is None:
        raise not_proved(anatomy, scores)
    if not any(True for _ in model.parameters()):
        raise RoleError(f"{type(model).__name__} is nothing but a head: without it, it would return its input.")
    if labels := label_names(model):
        vars(model)["forward"] = CutForward(model, ends=False, refused=labels)
    drop_what_no_longer_runs(anatomy)
    _require_same(anatomy, lambda output: leaf_at(output, way), found)
    return before.record(found, None)


def _cut_by_proposals(
    anatomy: Anatomy, way: Path, scores: torch.Tensor, put_back: Callable[[], None]
) -> torch.Tensor | None:
    """The features after the first cut that is proved; None, and the model as it was, where none is."""
    for head in heads(anatomy, scores):
        for each in ways(anatomy, head, scores):
            truth = recorded_input(anatomy, each.first, each.place)
            found = proved(anatomy, each.cut(), truth, way, anatomy.watched.output)
            if found is not None:
                return found
            put_back()
    return None


def _ended_at(anatomy: Anatomy, place: str, before: Before) -> Features:
    model, name = anatomy.model, type(anatomy.model).__name__
    if not isinstance(place, str):
        raise PlaceError(f'at={place!r}: a layer is named by its path, such as "layer3"; a model ends at one.')
    paths = anatomy.resolve(place)
    if len(paths) > 1:
        raise PlaceError(f'"{place}" means {len(paths)} layers; a model ends at one. Name it: at="{paths[-1]}".')
    path, calls = paths[0], anatomy.watched.by_path.get(paths[0], [])
    if not calls:
        raise NotReachedError(f'"{path}" is not called on this example, so {name} cannot end there. Name another one.')
    if len(calls) > 1:
        raise RoleError(f'"{path}" runs {len(calls)} times in a pass and has no one output. Name one that runs once.')
    truth = recorded_output(anatomy, calls[0])
    if not any(isinstance(leaf, torch.Tensor) and leaf.is_floating_point() for _, leaf in leaves(truth)):
        raise RoleError(f'"{path}" returns no features (no floating tensor). Name another layer to end at.')
    end_at(anatomy, path)
    if anatomy.family.decodes(model, "") and callable(getattr(model, "generate", None)):
        vars(model)["generate"] = Refusing(f'this {name} ends at "{path}" (ik.features), so it cannot generate.')
    if (labels := label_names(model)) and isinstance(vars(model).get("forward"), CutForward):
        vars(model)["forward"].refused = labels
    _require_same(anatomy, lambda output: output, truth)
    drop_what_no_longer_runs(anatomy)
    _require_same(anatomy, lambda output: output, truth)
    made = given(calls[0])
    return before.record(truth, path, None if made is None else features_axis(anatomy.watched, calls[0], made))


def _require_same(anatomy: Anatomy, read: Callable[[Any], Any], truth: Any) -> None:
    """Raise RoleError where the model, as it is now, does not give `truth`."""
    try:
        same, why = difference(read(anatomy.run()), truth), ""
    except NOT_RUN as cause:
        same, why = float("inf"), f" ({' '.join(str(cause).split()).rstrip('.')})"
    first = next(leaf for _, leaf in leaves(truth) if isinstance(leaf, torch.Tensor))
    if same > (0 if first.device.type == "cpu" else 1):
        raise RoleError(
            f"{type(anatomy.model).__name__}, cut, does not give what it should{why}; it was left as it was. "
            "Name another layer to end at: at=..."
        )
