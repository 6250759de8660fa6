"""`as_="mean"`: mean ablation, the layer's output is its mean over data, one number a feature."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from identikit.families.anatomy import Anatomy
from identikit.plan import Edit, Option
from identikit.replacing.layout import FIRST, LAST, Layout, features_axis, guessed_axis
from identikit.replacing.maps import Mean, Replacement, rows
from identikit.replacing.mean import RunningMean
from identikit.replacing.options import Options
from identikit.sources.readings import Data
from identikit.surgery.forwards import EditedForward, RunAndMean, own_forward
from identikit.surgery.reader import Reader, Tensors, require_read
from identikit.surgery.slot import Slot, slot_of
from identikit.surgery.substitute import Mapped


class AsMean(Mapped):
    """The mean over examples and positions, padding left out where the batch holds a mask."""

    name = "mean"
    options = Options({"axis": (FIRST, LAST)}, tensors=("value",))

    def made(self, layout: Layout, held: Mapping[str, torch.Tensor], options: Mapping[str, Option]) -> Replacement:
        """The vector, spread over the output's shape."""
        return Mean(layout, held)

    def reader(self, anatomy: Anatomy, slot: Slot, options: Mapping[str, Option]) -> Reader:
        """What adds the outputs up."""
        return MeanReader(anatomy, slot, options)

    def forward(self, anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
        """Where no input tells the output's shape, the layer runs for it."""
        slot = slot_of(anatomy, edit.at, dict(edit.options))
        if slot.layout is not None and slot.enters is not None:
            return super().forward(anatomy, edit, tensors)
        value, axis = tensors[edit.tensors["value"]].to(slot.output), dict(edit.options).get("axis")
        return RunAndMean(own_forward(slot.call.module), slot.leaves, value, LAST if axis is None else int(axis))


class MeanReader(Reader):
    """The mean of a layer's output, in float64."""

    def __init__(self, anatomy: Anatomy, slot: Slot, options: Mapping[str, Option]) -> None:
        output = slot.output
        said = options.get("axis") or (slot.layout.axis if slot.layout else None)
        found = said or features_axis(anatomy.watched, slot.call, output) or guessed_axis(output.ndim)
        super().__init__(anatomy, slot, int(found))
        self._mean = RunningMean(output.shape[self._axis], self._device)

    def _take(self, entered: torch.Tensor | None, output: torch.Tensor) -> None:
        self._mean.add(rows(output, self._axis)[self._counted(output)].to(self._device))

    def learned(self, path: str, data: Data) -> tuple[Tensors, dict[str, Option]]:
        """The vector, and where its features lie."""
        require_read(path, self._mean.count, self._mean.value, data)
        return {"value": self._cast(self._mean.value)}, {"axis": self._axis}
