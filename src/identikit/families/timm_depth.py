"""Bring a timm model's arguments in step with a shortened stack: propose, then prove by building it without memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from torch import nn

from identikit.families.timm_construct import RECORD, built, current, recorded, told_to_class
from identikit.families.timm_proposals import Cut, proposals

MOST_PROPOSALS = 24
Shapes = Mapping[str, tuple[int, ...]]


def resize(model: Any, stack: str, keep: Sequence[int], depth: int) -> Callable[[], None]:
    """Note at `model` the arguments that build what is left of it; returns the undo.

    The first proposal is taken whose model has the very same state dict keys and shapes. Where none has, nothing is
    noted: the checkpoint would then be refused, when it is loaded again.
    """
    arguments = current(model)
    found = _proved(model, arguments, Cut(stack, tuple(keep), depth))
    if not found:
        return _nothing
    held = vars(model).get(RECORD)
    vars(model)[RECORD] = recorded(model) | found

    def undo() -> None:
        if held is None:
            vars(model).pop(RECORD, None)
        else:
            vars(model)[RECORD] = held

    return undo


def _proved(model: Any, arguments: dict[str, Any], cut: Cut) -> dict[str, Any]:
    """The changes to the arguments that build a model like `model`; none where no proposal does."""
    try:
        told = told_to_class(model, arguments)
    except Exception:  # whatever a constructor raises, these arguments do not make the model
        return {}
    wanted = _shapes(model)
    for proposal in islice(proposals(told, cut), MOST_PROPOSALS):
        if _builds(model, arguments | proposal, wanted):
            return proposal
    return {}


def _builds(model: Any, arguments: dict[str, Any], wanted: Shapes) -> bool:
    """Whether these arguments make a model of the wanted shapes."""
    try:
        made = built(model.pretrained_cfg["architecture"], arguments, model.pretrained_cfg, empty=True)
    except Exception:  # whatever a constructor raises, it refutes the proposal
        return False
    return _shapes(made) == wanted


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items() if hasattr(value, "shape")}


def _nothing() -> None:
    """What undoing amounts to where nothing was noted."""
