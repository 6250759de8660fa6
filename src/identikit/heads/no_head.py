"""Why a model has no head that could be cut off, in one line, with what to do instead."""

from __future__ import annotations

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.heads.cut_record import RECORD
from identikit.heads.head import leaves_on_the_way, linear, scores_in, taken, vector
from identikit.structure.operations import memory
from identikit.structure.trees import Path, leaves


def refuse_without_scores(anatomy: Anatomy) -> tuple[Path, torch.Tensor]:
    """The scores in the output and the way to them. Raises RoleError where a model is no classifier with a head."""
    model, output = anatomy.model, anatomy.watched.output
    name, body = type(model).__name__, anatomy.family.body(model)
    if RECORD in vars(model):
        raise RoleError(f"the head of this {name} is off already (model.{RECORD}). Name a layer to end at: at=...")
    found = scores_in(output)
    if anatomy.family.decodes(model, ""):
        inner = f"take the inner model (model.{body})" if body else "take the inner model"
        raise RoleError(
            f"{name} predicts tokens: without its head, `generate` would return garbage without a word. "
            f"Instead {inner}, or name a layer to end at{_near(anatomy, found[1] if found else None)}"
        )
    if found is None:
        tensors = {path: leaf for path, leaf in leaves(output) if isinstance(leaf, torch.Tensor)}
        floating = [".".join(map(str, path)) for path, leaf in tensors.items() if leaf.is_floating_point()]
        names = ", ".join(floating[:4]) + (", ..." if len(floating) > 4 else "")
        raise RoleError(
            f"{name} returns {len(floating)} tensors ({names}), and nothing says which of them holds class scores. "
            "Name a layer to end at: at=..."
        )
    scores = found[1]
    if scores.ndim > 1 and not vector(scores):
        shape = " x ".join(map(str, scores.shape))
        raise RoleError(
            f"{name} gives {shape} values, not one row of scores per example, so no pooled features lie in front of "
            f"its last layer. Name a layer to end at{_near(anatomy, scores)}"
        )
    return found


def not_proved(anatomy: Anatomy, scores: torch.Tensor) -> RoleError:
    """The error where no proposal was proved."""
    name = type(anatomy.model).__name__
    return RoleError(
        f"no head was proved in {name}: its scores are not made by layers of their own from one vector of features. "
        f"Name a layer to end at{_near(anatomy, scores)}"
    )


def _near(anatomy: Anatomy, scores: torch.Tensor | None) -> str:
    """`: at="...".` with the layer that made what the last Linear layer takes, or the one that ran before it."""
    watched, model = anatomy.watched, anatomy.model
    way = leaves_on_the_way(anatomy, scores) if scores is not None else []
    last = next((call for call in reversed(way) if linear(call.module)), None)
    found = taken(last) if last is not None else None
    if last is None or found is None:
        return ": at=..."
    makers = watched.returned.get(memory(found[1]), [])
    made = [call for call in makers if call.end < last.start and isinstance(call.output, torch.Tensor)]
    before = leaves_on_the_way(anatomy, found[1])
    for call in [*reversed(made), *reversed(before)]:
        if call.module is not model and len(watched.by_path[call.path]) == 1:
            return f': at="{call.path}".'
    return ": at=..."
