"""Edits whose tensors are learned: the model runs over data, and each layer's own input and output are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from identikit.errors import DataError, RoleError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.plain import Family
from identikit.plan import RESAMPLE, Edit, Option
from identikit.replacing.options import check_options
from identikit.sources.objects import as_data
from identikit.sources.readings import Data
from identikit.structure.override import Forward, overriding
from identikit.structure.traceless import traceless
from identikit.surgery.readers import AdapterReader, MeanReader, Reader, Tensors
from identikit.surgery.replaced import Slot, replacement, require_shape, shapes, slot_of
from identikit.surgery.resampled import resampling
from identikit.tensors import name_of


def requested(
    anatomy: Anatomy, paths: list[str], op: str, data: Data | None, options: Mapping[str, Option]
) -> tuple[list[Edit], Tensors]:
    """The edits that replace the layers at `paths` by `op`, and the tensors that they name.

    All layers are read in the same passes, of the unedited model. Raises RoleError where no such replacement fits a
    layer, DataError where data is missing or holds nothing to learn from, PlanError for an option that `op` has not.
    """
    for path in paths:
        check_options(Edit(op, path, tuple(options.items())))
    if op == RESAMPLE:
        return resampling(anatomy, paths, options), {}
    slots = {path: slot_of(anatomy, path, options) for path in paths}
    if op == "shortcut":
        edits = [Edit(op, path, _noted(slot, options)) for path, slot in slots.items()]
        for edit in edits:
            replacement(edit, slots[edit.at], {})
        return edits, {}
    if data is None:
        raise DataError(f'as_="{op}" is worked out from data. Pass it: data=[batch, ...].')
    readers = {path: _reader(anatomy, path, op, slot, options) for path, slot in slots.items()}
    _read(anatomy, readers, data)
    tensors: Tensors = {}
    edits = []
    for path, reader in readers.items():
        learned, more = reader.learned(path, data)
        named = {key: name_of(value) for key, value in learned.items()}
        tensors |= {named[key]: value for key, value in learned.items()}
        edits.append(Edit(op, path, _noted(slots[path], {**options, **more, **named})))
    return edits, tensors


def watched_on(
    model: nn.Module, inputs: Any, data: Any, batch_size: int | None, family: Family | None
) -> tuple[Anatomy, Data | None]:
    """The anatomy of `model`, and `data` opened where there is some: its first batch is then the example of it."""
    read = as_data(data, batch_size=batch_size) if data is not None else None
    example = next(iter(read)) if read is not None and inputs is None else inputs
    return anatomy_of(model, example, family), read


def _reader(anatomy: Anatomy, path: str, op: str, slot: Slot, options: Mapping[str, Option]) -> Reader:
    if slot.output.is_meta:
        raise DataError(f'"{path}" is on the meta device and computes nothing. Load the weights first.')
    if op == "mean":
        return MeanReader(anatomy, slot, options)
    if slot.layout is None:
        raise RoleError(f'"{path}" {shapes(slot)}: no linear map leads from one to the other. Keep it.')
    require_shape(path, op, slot)
    return AdapterReader(anatomy, slot, options)


def _noted(slot: Slot, options: Mapping[str, Option]) -> tuple[tuple[str, Option], ...]:
    """The options with what the shapes told: the edit then means the same on an example of another size."""
    found: dict[str, Option] = {}
    if slot.layout is not None:
        found["axis"] = slot.layout.axis
        if slot.layout.strided:
            found["stride"] = slot.layout.stride
    return tuple({**found, **options}.items())


def _read(anatomy: Anatomy, readers: Mapping[str, Reader], data: Data) -> None:
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
