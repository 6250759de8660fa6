"""What may stand for a layer on request: one class a way, `as_=` its name. `substitutes.py` lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch

from identikit.errors import BlockError, DataError, PlanError, RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit, Option
from identikit.replacing.layout import Layout
from identikit.replacing.maps import Replacement
from identikit.replacing.options import Options, check_options, require_tensors
from identikit.sources.readings import Data
from identikit.structure.trees import at
from identikit.surgery.forwards import EditedForward, forward_with
from identikit.surgery.reader import Reader, Tensors, read_all
from identikit.surgery.slot import Slot, other_shape, require_shape, shapes, sizes, slot_of
from identikit.tensors import name_of


class Substitute(ABC):
    """One way to replace a layer; its name is the `op` of a plan, and stands in `plan.OPS`."""

    name: ClassVar[str]
    options: ClassVar[Options]

    @abstractmethod
    def requested(
        self, anatomy: Anatomy, paths: list[str], data: Data | None, options: Mapping[str, Option]
    ) -> tuple[list[Edit], Tensors]:
        """The edits that replace the layers at `paths`, and the tensors that they name.

        Raises RoleError where this does not fit a layer, DataError where data is missing or holds nothing to learn
        from, PlanError for an option that there is not.
        """

    @abstractmethod
    def check(self, anatomy: Anatomy, edit: Edit) -> None:
        """Raise PlanError or RoleError where `edit` cannot be made in this model."""

    @abstractmethod
    def forward(self, anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
        """What the edited layer does instead. Raises RoleError."""


class Mapped(Substitute):
    """A map from the layer's input stream to its output; what it learns is read from the layer as it runs on data."""

    @abstractmethod
    def made(self, layout: Layout, held: Mapping[str, torch.Tensor], options: Mapping[str, Option]) -> Replacement:
        """The map itself, with the tensors `held` of the edit's."""

    def reader(self, anatomy: Anatomy, slot: Slot, options: Mapping[str, Option]) -> Reader:
        """What reads the layer's calls. Asked for where `options.tensors` names what is learned."""
        raise NotImplementedError

    def requested(
        self, anatomy: Anatomy, paths: list[str], data: Data | None, options: Mapping[str, Option]
    ) -> tuple[list[Edit], Tensors]:
        """All layers are read in the same passes, of the unedited model."""
        for path in paths:
            check_options(Edit(self.name, path, tuple(options.items())), self.options)
        slots = {path: slot_of(anatomy, path, options) for path in paths}
        if not self.options.tensors:
            edits = [Edit(self.name, path, _noted(slot, options)) for path, slot in slots.items()]
            for edit in edits:
                self.replacement(edit, slots[edit.at], {})
            return edits, {}
        if data is None:
            raise DataError(f'as_="{self.name}" is worked out from data. Pass it: data=[batch, ...].')
        readers = {path: self._reader(anatomy, path, slot, options) for path, slot in slots.items()}
        read_all(anatomy, readers, data)
        tensors: Tensors = {}
        edits = []
        for path, reader in readers.items():
            learned, more = reader.learned(path, data)
            named = {key: name_of(value) for key, value in learned.items()}
            tensors |= {named[key]: value for key, value in learned.items()}
            edits.append(Edit(self.name, path, _noted(slots[path], {**options, **more, **named})))
        return edits, tensors

    def check(self, anatomy: Anatomy, edit: Edit) -> None:
        """Its options, its tensors, its slot."""
        check_options(edit, self.options)
        require_tensors(edit, self.options)
        slot_of(anatomy, edit.at, dict(edit.options))

    def replacement(self, edit: Edit, slot: Slot, tensors: Mapping[str, torch.Tensor]) -> Replacement:
        """The map of `edit`. Raises RoleError where no such map leads from the layer's input to its output."""
        layout = slot.layout
        if layout is None:
            raise RoleError(f'"{edit.at}" {shapes(slot)}: no {edit.op} leads from one to the other. Keep it.')
        output = slot.output
        held = {key: tensors[name].to(device=output.device, dtype=output.dtype) for key, name in edit.tensors.items()}
        self._check_sizes(edit, layout, held)
        try:
            return self.made(layout, held, dict(edit.options))
        except BlockError as cause:
            raise RoleError(f'"{edit.at}" {shapes(slot)}: {_fewer(layout, cause)}') from None

    def forward(self, anatomy: Anatomy, edit: Edit, tensors: Mapping[str, torch.Tensor]) -> EditedForward:
        """Proved to give the recorded output's shape and dtype."""
        slot = slot_of(anatomy, edit.at, dict(edit.options))
        made = self.replacement(edit, slot, tensors)
        assert slot.enters is not None  # a layout is one between the output and an input
        forward = forward_with(made, slot.leaves, slot.enters, slot.flow, slot.call.output)
        with torch.no_grad():
            output = at(forward(*slot.call.args, **slot.call.kwargs), slot.leaves)
        if output.shape != slot.output.shape or output.dtype != slot.output.dtype:
            raise RoleError(other_shape(edit.at, edit.op, slot, sizes(output)))
        return forward

    def _reader(self, anatomy: Anatomy, path: str, slot: Slot, options: Mapping[str, Option]) -> Reader:
        if slot.output.is_meta:
            raise DataError(f'"{path}" is on the meta device and computes nothing. Load the weights first.')
        return self.reader(anatomy, slot, options)

    def _check_sizes(self, edit: Edit, layout: Layout, held: Mapping[str, torch.Tensor]) -> None:
        wanted = {"weight": (layout.out_features, layout.in_features)}
        for key in self.options.tensors:
            shape = wanted.get(key, (layout.out_features,))
            if tuple(held[key].shape) != shape:
                raise PlanError(
                    f'the {key} of the {edit.op} at "{edit.at}" is {sizes(held[key])}; the layer here needs '
                    f"{'x'.join(map(str, shape))}. Load the model that the plan was made for."
                )


def require_map(path: str, op: str, slot: Slot) -> None:
    """Raise RoleError where no linear map leads from what the layer takes to what it returns."""
    if slot.layout is None:
        raise RoleError(f'"{path}" {shapes(slot)}: no linear map leads from one to the other. Keep it.')
    require_shape(path, op, slot)


def _noted(slot: Slot, options: Mapping[str, Option]) -> tuple[tuple[str, Option], ...]:
    """The options with what the shapes told: the edit then means the same on an example of another size."""
    found: dict[str, Option] = {}
    if slot.layout is not None:
        found["axis"] = slot.layout.axis
        if slot.layout.strided:
            found["stride"] = slot.layout.stride
    return tuple({**found, **options}.items())


def _fewer(layout: Layout, cause: Exception) -> str:
    if layout.out_features < layout.in_features:
        return (
            f"a shortcut cannot make {layout.out_features} features of {layout.in_features}. "
            'Fit a map instead: as_="adapter", data=[batch, ...].'
        )
    return str(cause)
