"""The parts of a layer that can go by themselves: of a transformer's block its attention, its MLP."""

from __future__ import annotations

from collections.abc import Sequence

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.structure.packed import has_matrix
from identikit.structure.roles import OP_OF_ROLE
from identikit.surgery.remove import can_be_removed


def with_parts(anatomy: Anatomy, blocks: Sequence[str]) -> list[str]:
    """The blocks, and the outermost layers inside each that hold a matrix of weights and whose role is proved.

    What would have to run for its output's shape is not among them: its absence saves nothing. Raises RoleError where
    there is none.
    """
    found = [part for block in blocks for part in _within(anatomy, block)]
    if not found:
        raise RoleError(
            f"no part of a block of {type(anatomy.model).__name__} can go by itself: of none is the role proved. "
            "Use --method greedy or beam, which drop whole blocks."
        )
    return list(dict.fromkeys([*blocks, *found]))


def _within(anatomy: Anatomy, path: str) -> list[str]:
    found: list[str] = []
    for name, child in anatomy.model.get_submodule(path).named_children():
        inner = f"{path}.{name}"
        if not has_matrix(child):
            continue
        verdict = anatomy.verdict(inner)
        goes = verdict.ok and can_be_removed(anatomy, inner, OP_OF_ROLE[verdict.role])
        found += [inner] if goes else _within(anatomy, inner)
    return found
