"""`sites`: what can be edited in a model, and why the rest cannot."""

from __future__ import annotations

from typing import Any

from torch import nn

from identikit.families.anatomy import anatomy_of
from identikit.families.plain import Family
from identikit.places import inside
from identikit.structure.site import Sites
from identikit.structure.stacks import members
from identikit.turns import in_turn


@in_turn
def sites(model: nn.Module, inputs: Any = None, *, at: str | None = None, family: Family | None = None) -> Sites:
    """The places of `model` where an edit can go, in the model's order.

    Args:
        model: any module; it is run once in eval mode and left as it was.
        inputs: one example of what its forward takes (tensor, tuple or dict); the family's own where None.
        at: a place, such as "model.layers.0.*", to ask about these layers; inner roles are proved then (more passes).
            Without it: the numbered layers that lie in no other proved one, whole blocks.

    Raises:
        PlaceError: `at` names no layer.
        InputsError: no example is known, or the model does not run on it.
    """
    anatomy = anatomy_of(model, inputs, family)
    model = anatomy.model  # without what torch has put around it
    if at is not None:
        return Sites((anatomy.site(path) for path in anatomy.resolve(at)), type(model).__name__)
    blocks = set(anatomy.blocks())
    shown = [path for path in anatomy.paths if path in blocks or _beside_blocks(model, path, blocks)]
    return Sites((anatomy.site(path, prove=False) for path in shown), type(model).__name__)


def _beside_blocks(model: nn.Module, path: str, blocks: set[str]) -> bool:
    """Whether `path` is a refused neighbour of whole blocks: same container, or a container where all are refused."""
    parent, _, name = path.rpartition(".")
    if any(inside(path, block) for block in blocks) or not any(True for _ in model.get_submodule(path).parameters()):
        return False
    siblings = members(model.get_submodule(parent))
    return name in siblings and any((f"{parent}.{one}" if parent else one) in blocks for one in siblings)
