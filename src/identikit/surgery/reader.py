"""A layer is read as it runs over data: rows of features of what goes in and what comes out, padding left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import DataError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Option
from identikit.replacing.layout import LAST
from identikit.replacing.padding import counted
from identikit.sources.readings import Data
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.structure.trees import at, shape_of
from identikit.surgery.forwards import Taken
from identikit.surgery.slot import NESTED, Slot

Tensors = dict[str, torch.Tensor]


class Reader:
    """Reads one layer's calls: rows of features of what goes in and what comes out, padding left out."""

    def __init__(self, anatomy: Anatomy, slot: Slot, axis: int) -> None:
        self.batch = Batch()
        self._anatomy = anatomy
        self._slot = slot
        self._axis = axis
        device = slot.output.device
        self._device = torch.device("cpu") if device.type == "mps" else device  # which has no float64

    def around(self, forward: Forward) -> Forward:
        """`forward`, read at every call. What goes in is copied first: a layer may write into it."""
        enters = self._slot.enters

        def read(*args: Any, **kwargs: Any) -> Any:
            entered = Taken(enters).of(args, kwargs).clone() if enters is not None else None
            output = forward(*args, **kwargs)
            made = at(output, self._slot.leaves)
            if shape_of(made) is None:
                raise RoleError(f'on the data, "{self._slot.call.path}" {NESTED}')
            self._take(entered, made)
            return output

        return read

    def learned(self, path: str, data: Data) -> tuple[Tensors, dict[str, Option]]:
        """The tensors, and what else the edit should say."""
        raise NotImplementedError

    def _take(self, entered: torch.Tensor | None, output: torch.Tensor) -> None:
        raise NotImplementedError

    def _counted(self, output: torch.Tensor) -> torch.Tensor:
        """Which rows of `output` are no padding: [rows] of bool."""
        mask = counted(self._anatomy.watched, self._slot.output, self.batch, output) if self._axis == LAST else None
        count = output.numel() // output.shape[self._axis]
        return torch.ones(count, dtype=torch.bool, device=output.device) if mask is None else mask.reshape(-1)

    def _cast(self, value: torch.Tensor) -> torch.Tensor:
        """For the plan: in the dtype of the layer's own output."""
        return value.to(device="cpu", dtype=self._slot.output.dtype)


def read_all(anatomy: Anatomy, readers: Mapping[str, Reader], data: Data) -> None:
    """Run the model on all of `data`; each reader sees the calls of its layer."""
    model = anatomy.model
    modules = {path: model.get_submodule(path) for path in readers}

    def reading(path: str, module: nn.Module, forward: Forward) -> Forward:
        return readers[path].around(forward)

    device = next((value.device for _, value in anatomy.watched.calls[0].tensors_in()), None)
    for batch in data:
        here = batch if device is None else batch.to(device)
        for reader in readers.values():
            reader.batch = here
        with anatomy.family.quiet(model), traceless(model), overriding(modules, reading):
            here.copied().call(model)


def require_read(path: str, count: int, value: torch.Tensor, data: Data) -> None:
    """Raise DataError where a layer was not read, or gave what is no number."""
    if not count:
        raise DataError(f'"{path}" never ran on {data.name}, or on padding alone. Give data that reaches it.')
    if not bool(torch.isfinite(value).all()):
        raise DataError(f'what "{path}" makes of {data.name} is not finite. Look at the data, or at the weights.')
