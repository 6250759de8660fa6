"""The slot of a layer that is replaced: where its stream enters and leaves, and how features lie there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.plan import Edit, Option
from identikit.replacing.layout import FIRST, LAST, Layout, features_axis, guessed_axis, layout_of
from identikit.replacing.options import read_stride
from identikit.structure.roles import never_ran
from identikit.structure.streams import Flow
from identikit.structure.trees import Path, shape_of
from identikit.structure.watch import Call, Location

NESTED = (
    "returns a nested tensor, which cannot be replaced: nn.TransformerEncoder packs padded examples so. Make it with "
    "enable_nested_tensor=False."
)


@dataclass(frozen=True)
class Slot:
    """Where a replacement goes: the layer's recorded call, the output that it makes, the input it makes it from."""

    call: Call
    flow: Flow
    leaves: Path
    enters: Location | None
    layout: Layout | None

    @property
    def output(self) -> torch.Tensor:
        """The recorded output."""
        return dict(self.call.tensors_out())[self.leaves]


def slot_of(anatomy: Anatomy, path: str, options: Mapping[str, Option]) -> Slot:
    """Where a replacement of the layer at `path` goes. Raises RoleError where the layer returns several streams."""
    calls = anatomy.watched.by_path.get(path, [])
    verdict = anatomy.verdict(path, prove=False)
    if not calls or verdict.flow is None:
        raise RoleError(verdict.why if calls else never_ran(path))
    call, flow = calls[0], verdict.flow
    leaves = _leaving(path, call, flow)
    output = dict(call.tensors_out())[leaves]
    if shape_of(output) is None:
        raise RoleError(f'"{path}" {NESTED}')
    known = flow.streams.get(leaves) or flow.passed.get(leaves)
    axes = _axes(anatomy, call, output, options)
    for place, value in call.tensors_in():
        if known in (None, place) and shape_of(value) is not None and value.dtype == output.dtype:
            found = next((one for axis in axes if (one := layout_of(value.shape, output.shape, axis))), None)
            if found is not None:
                return Slot(call, flow, leaves, place, _strided(found, options))
    return Slot(call, flow, leaves, None, None)


def require_shape(path: str, op: str, slot: Slot) -> None:
    """Raise RoleError where the stride that the user gave leads to another shape than the layer's."""
    if slot.layout is not None and slot.enters is not None:
        entered = dict(slot.call.tensors_in())[slot.enters]
        made = slot.layout.output_shape(entered.shape)
        if made != list(slot.output.shape):
            raise RoleError(other_shape(path, op, slot, "x".join(map(str, made))))


def shapes(slot: Slot) -> str:
    """What the layer takes and returns, in words."""
    taken = [value for place, value in slot.call.tensors_in() if slot.enters in (None, place)]
    return f"takes {', '.join(map(sizes, taken)) or 'no tensor'} and returns {sizes(slot.output)}"


def other_shape(path: str, op: str, slot: Slot, made: str) -> str:
    """What is said where a replacement gives another shape than its layer."""
    return (
        f'"{path}" {shapes(slot)}: the {op} asked for makes {made} of it. Leave stride and axis out, then they are '
        "found."
    )


def ways_out(anatomy: Anatomy, path: str) -> str:
    """The requests under which a layer that changes shape can be replaced; empty where there are none."""
    verdict = anatomy.verdict(path, prove=False)
    if verdict.flow is None or verdict.flow.streams:
        return ""
    try:
        layout = slot_of(anatomy, path, {}).layout
    except RoleError:
        return ""
    if layout is None:
        return ""
    fitted = 'as_="adapter" with data=[...]'
    return f'as_="shortcut", or {fitted}' if layout.out_features >= layout.in_features else fitted


def _leaving(path: str, call: Call, flow: Flow) -> Path:
    """The one output that a replacement makes: the others are inputs handed on, or read by nothing.

    A layer that makes one and hands on others (T5's attention: the position bias) is clear; of two streams is not
    (a block of Flux): which of them should the replacement make?
    """
    outputs = dict(call.tensors_out())
    lost = [each for each in flow.needed if each not in outputs]
    read = [each for each in outputs if each in flow.streams or each in flow.needed]
    floating = [each for each, value in outputs.items() if value.is_floating_point()]
    found = read or floating
    if read and read[0] in flow.needed and all(each in flow.streams for each in read[1:]):
        found = read[:1]
    if lost or len(found) != 1 or not outputs[found[0]].is_floating_point():
        several = f"{len(found)} outputs that are read later" if len(found) > 1 else "no output of floating numbers"
        what = "a number or an object beside its tensors" if lost else several
        raise RoleError(f'"{path}" returns {what}; a replacement makes one tensor. Replace a layer inside it.')
    return found[0]


def _axes(anatomy: Anatomy, call: Call, output: torch.Tensor, options: Mapping[str, Option]) -> list[int]:
    """Where the features of the output may lie, likeliest first; what the user says is not doubted."""
    said = options.get("axis")
    if isinstance(said, int):
        return [said]
    found = features_axis(anatomy.watched, call, output)
    first = guessed_axis(output.ndim)
    return [found] if found is not None else [first, FIRST if first == LAST else LAST]


def _strided(layout: Layout, options: Mapping[str, Option]) -> Layout:
    """`layout` with the stride of `options`, where that gives the same output."""
    if "stride" not in options or not layout.strides:
        return layout
    edit = Edit("shortcut", "layer", (("stride", options["stride"]),))
    said = read_stride(edit, options["stride"])
    strides = tuple(said * len(layout.strides) if len(said) == 1 else said)
    if len(strides) != len(layout.strides):
        raise RoleError(
            f"stride={options['stride']!r} is for {len(strides)} dimensions; this layer has {len(layout.strides)} "
            "beside its examples and features. Leave stride out, then it is found."
        )
    return Layout(layout.axis, layout.in_features, layout.out_features, strides)


def sizes(tensor: Any) -> str:
    """A tensor's sizes, in words."""
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
