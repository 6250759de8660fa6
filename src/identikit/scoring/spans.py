"""Where the stream of a block, or of a run of blocks, enters and leaves: what the cheap scores compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import RESAMPLE, Edit, Plan
from identikit.replacing.layout import features_axis, guessed_axis
from identikit.scoring.by_example import turned
from identikit.structure.members import members
from identikit.structure.roles import OP_OF_ROLE
from identikit.structure.trees import Path, shape_of
from identikit.structure.watch import Call, Location
from identikit.surgery.choose import check_plans


@dataclass(frozen=True)
class Strand:
    """One stream: the argument it enters by, the output it leaves by, where its features lie (1 or -1).

    `turned`: it lies as [positions, rows, features]. `recorded`: what left in the watched pass.
    """

    enters: Location
    leaves: Path
    axis: int
    turned: bool
    recorded: torch.Tensor


@dataclass(frozen=True)
class Span:
    """The layers of one candidate in the order in which they run; `strands` enter the first and leave the last."""

    name: str
    first: str
    last: str
    strands: tuple[Strand, ...]


def spans_of(anatomy: Anatomy, plans: Mapping[str, Plan], method: str) -> dict[str, Span]:
    """The span of each plan. Raises RoleError for one that is no whole block, nor whole blocks behind one another."""
    edits = zip(plans, check_plans(anatomy, plans.values()), strict=True)
    orders = {name: _in_order(anatomy, name, found, method) for name, found in edits}
    recorded = {
        (path, leaf): dict(_call(anatomy, path).tensors_out())[leaf]
        for path in dict.fromkeys(order[-1] for order in orders.values())
        for leaf in _streams(anatomy, path)
    }
    positions_first = turned(anatomy, recorded)
    axes = {key: _axis(anatomy, _call(anatomy, key[0]), value) for key, value in recorded.items()}
    spans = {}
    for name, order in orders.items():
        enters = _streams(anatomy, order[0])
        keys = [(order[-1], leaf) for leaf in _streams(anatomy, order[-1])]
        strands = (Strand(enters[key[1]], key[1], axes[key], key in positions_first, recorded[key]) for key in keys)
        spans[name] = Span(name, order[0], order[-1], tuple(strands))
    return spans


def whole_blocks(anatomy: Anatomy, plans: Mapping[str, Plan]) -> bool:
    """Whether each plan takes out whole blocks that run one behind the other: a stream enters and leaves them."""
    try:
        for edits in check_plans(anatomy, plans.values()):
            _in_order(anatomy, "", edits, "")
    except RoleError:
        return False
    return True


def _streams(anatomy: Anatomy, path: str) -> dict[Path, Location]:
    """Output to input of each floating stream of the layer at `path`."""
    flow = anatomy.verdict(path).flow
    outputs = dict(anatomy.watched.by_path[path][0].tensors_out())
    streams = flow.streams if flow is not None else {}
    return {leaf: place for leaf, place in streams.items() if outputs[leaf].is_floating_point()}


def _in_order(anatomy: Anatomy, name: str, edits: list[Edit], method: str) -> list[str]:
    """The layers of a plan, as they run."""
    for edit in edits:
        if edit.op != "identity":
            verdict = anatomy.verdict(edit.at)
            found = f"a {verdict.role}" if OP_OF_ROLE.get(verdict.role) == edit.op else f'taken out as "{edit.op}"'
            taylor = "" if edit.op == RESAMPLE else ' or method="taylor"'
            raise RoleError(
                f'"{edit.at}" is {found}, and {method} compares the stream that enters a whole block with the one that '
                f'leaves it. Use method="exact"{taylor}.'
            )
        if not anatomy.watched.by_path.get(edit.at) or not _streams(anatomy, edit.at):
            raise RoleError(f'no stream of floating numbers enters "{edit.at}" and leaves it. Use method="exact".')
    ran = sorted((edit.at for edit in edits), key=lambda path: _call(anatomy, path).start)
    between = _between(anatomy, ran)
    if between is not None:
        raise RoleError(
            f'the layers {name} are no run: "{between}" runs between them, and {method} compares what enters the first '
            'with what leaves the last. Use method="exact" or method="taylor".'
        )
    _require_same(anatomy, name, ran, method)
    return ran


def _between(anatomy: Anatomy, ran: list[str]) -> str | None:
    """A layer of the same container that runs between the first and the last and is none of `ran`; None for a run."""
    if len(ran) == 1:
        return None
    parents = {path.rpartition(".")[0] for path in ran}
    if len(parents) > 1:
        return _next_of(anatomy, ran)
    parent = parents.pop()
    start, end = _call(anatomy, ran[0]).start, _call(anatomy, ran[-1]).end
    beside = (f"{parent}.{name}" if parent else name for name in members(anatomy.model.get_submodule(parent)))
    calls = {path: anatomy.watched.by_path.get(path, []) for path in beside if path not in ran}
    return next((path for path, found in calls.items() if any(start < call.start < end for call in found)), None)


def _next_of(anatomy: Anatomy, ran: list[str]) -> str | None:
    """The first of `ran`, of several containers, that does not take the very tensors that the one before returned."""
    for before, after in pairwise(ran):
        made = [value for _, value in _call(anatomy, before).tensors_out()]
        if not any(value is taken for value in made for _, taken in _call(anatomy, after).tensors_in()):
            return after
    return None


def _require_same(anatomy: Anatomy, name: str, ran: list[str], method: str) -> None:
    """Raise RoleError unless every stream that leaves the last layer entered the first, with the same shape."""
    enters, leaves = _streams(anatomy, ran[0]), _streams(anatomy, ran[-1])
    inputs: dict[Any, torch.Tensor] = dict(_call(anatomy, ran[0]).tensors_in())
    outputs = dict(_call(anatomy, ran[-1]).tensors_out())
    shapes = [(shape_of(inputs[enters[leaf]]), shape_of(outputs[leaf])) for leaf in leaves if leaf in enters]
    if len(shapes) != len(leaves) or any(one is None or one != other for one, other in shapes):
        raise RoleError(
            f"what enters {name} and what leaves it have not the same shape, so {method} cannot compare them. "
            'Use method="exact" or method="taylor".'
        )


def _call(anatomy: Anatomy, path: str) -> Call:
    return anatomy.watched.by_path[path][0]


def _axis(anatomy: Anatomy, call: Call, output: torch.Tensor) -> int:
    """Where the features lie; see `replacing.layout`."""
    found = features_axis(anatomy.watched, call, output)
    return guessed_axis(output.ndim) if found is None else found
