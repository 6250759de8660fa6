"""A linear adapter in the gap: a map of the stream's features, fitted by least squares. Only the plan form can say it.

It stands where the last layer of the gap stood, and starts as the identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import nn

from identikit.batches import Batch
from identikit.compensating.exact import exact_rows
from identikit.compensating.gaps import Gap, stream_of
from identikit.compensating.halves import Halves
from identikit.compensating.reading import read
from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit, Plan
from identikit.replacing.layout import Layout
from identikit.replacing.padding import counted
from identikit.surgery.carried import first_paths
from identikit.surgery.slot import Slot, shapes
from identikit.tensors import name_of

_REPLACEMENT = "replacement"  # the stand-in's own submodule


def with_adapters(anatomy: Anatomy, plan: Plan, gaps: Iterable[Gap]) -> Plan:
    """`plan` (in first paths) with the last layer of each gap replaced by an adapter that is still the identity."""
    made: dict[str, Edit] = {}
    tensors: dict[str, torch.Tensor] = dict(plan.tensors)
    for gap in gaps:
        slot = stream_of(anatomy, gap.gone[-1])
        features = _layout(gap, slot).out_features
        like = {"dtype": slot.output.dtype, "device": "cpu"}
        start = {"weight": torch.eye(features, **like), "bias": torch.zeros(features, **like)}  # type: ignore[call-overload]
        at = first_paths(anatomy.model, [gap.gone[-1]])[0]
        made[at] = _edit(at, _layout(gap, slot).axis, start)
        tensors |= {name_of(value): value for value in start.values()}
    kept = {edit for edit in plan.edits if edit.at not in made}
    return replace(plan, edits=frozenset({*kept, *made.values()}), tensors=tensors)


class AdapterFit:
    """The adapter of one gap in `student`, where the stand-in is at `present`."""

    def __init__(self, anatomy: Anatomy, student: nn.Module, gap: Gap, present: str) -> None:
        self._anatomy, self._student, self._gap, self._present = anatomy, student, gap, present
        self._slot = stream_of(anatomy, gap.gone[-1])
        self._axis = _layout(gap, self._slot).axis
        self.changed: nn.Module = student.get_submodule(f"{present}.{_REPLACEMENT}")
        self.into = gap.gone[-1]

    def make(self, data: Iterable[Batch]) -> None:
        """Fit on `data`, and write the map."""
        features = self._slot.output.shape[self._axis]
        halves = Halves(features, features, self._anatomy.device)
        for batch in data:
            halves.add(*self._rows(batch.to(self._anatomy.device)))
        if not halves.rows:
            raise RoleError(f'nothing but padding reached "{self._gap.gone[0]}". Give other data.')
        found = halves.best(torch.eye(features, dtype=torch.float64))
        with torch.no_grad():
            for name, value in {"weight": found.weight, "bias": found.bias}.items():
                self.changed._parameters[name].copy_(value)  # type: ignore[union-attr]

    def _rows(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        anatomy, leaves = self._anatomy, self._slot.leaves
        whole = read(anatomy.model, anatomy.family, batch, self._gap.gone[-1], leaves)
        small = read(self._student, anatomy.family, batch, self._present, leaves, _REPLACEMENT)
        assert whole.left is not None  # both ran in the checked pass
        assert small.taken is not None
        mask = counted(anatomy.watched, self._slot.output, batch, whole.left)
        x, y = exact_rows(small.taken, self._axis), exact_rows(whole.left, self._axis)
        return (x, y) if mask is None else (x[mask.reshape(-1)], y[mask.reshape(-1)])


def fitted(plan: Plan, adapters: Mapping[str, nn.Module]) -> Plan:
    """`plan` with what the adapters (first path to module) hold now."""
    edits, tensors = set(plan.edits), dict(plan.tensors)
    for edit in plan:
        if edit.at in adapters:
            held = {name: value.detach().cpu().clone() for name, value in adapters[edit.at].state_dict().items()}
            edits = edits - {edit} | {_edit(edit.at, int(dict(edit.options)["axis"]), held)}  # type: ignore[arg-type]
            tensors |= {name_of(value): value for value in held.values()}
    return replace(plan, edits=frozenset(edits), tensors=tensors)


def _edit(at: str, axis: int, tensors: Mapping[str, torch.Tensor]) -> Edit:
    return Edit("adapter", at, (("axis", axis), *((name, name_of(value)) for name, value in tensors.items())))


def _layout(gap: Gap, slot: Slot) -> Layout:
    if slot.layout is None or slot.layout.strided or slot.layout.in_features != slot.layout.out_features:
        raise RoleError(f'"{gap.gone[-1]}" {shapes(slot)}: no linear map leads from one to the other.')
    return slot.layout
