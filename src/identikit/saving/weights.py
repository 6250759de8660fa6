"""The weights of a plan folder: named by the paths of the model first loaded, each tensor once."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from identikit.errors import ModelError, SaveError
from identikit.families.layered import layered_dim
from identikit.families.plain import require_values
from identikit.places import inside
from identikit.structure.per_layer import Cut
from identikit.surgery.carried import Carried, carried
from identikit.surgery.learned import own_names, take_from_plan

_NEEDS_EXAMPLE = "identikit.needs_example"


@dataclass(frozen=True)
class Stored:
    """What a file of weights holds. `needs_example`: the removal cannot be replayed by shortening stacks alone."""

    file: Path
    tensors: Mapping[str, torch.Tensor]
    needs_example: bool


def read_weights(file: Path) -> Stored:
    """Read a file of weights. Raises ModelError where it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            notes = opened.metadata() or {}
        return Stored(file, load_file(file), notes.get(_NEEDS_EXAMPLE) == "true")
    except (SafetensorError, OSError) as cause:
        raise ModelError(f"{file} is damaged: {' '.join(str(cause).split())}. Save the model again.") from cause


def write_weights(model: nn.Module, file: Path, *, gone: Collection[str], needs_example: bool) -> None:
    """Write what is left of `model` under the names it had when first loaded, without the layers at `gone`."""
    held: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    with_the_plan = own_names(model)
    for name, value in model.state_dict(keep_vars=True).items():
        first = first_name(model, name)
        require_values(model, name, value)
        if name in with_the_plan or id(value) in seen or any(inside(first, place) for place in gone):
            continue
        seen.add(id(value))
        held[first] = value.detach()
    shared = Counter(value.untyped_storage().data_ptr() for value in held.values())
    whole = {
        name: value.clone() if shared[value.untyped_storage().data_ptr()] > 1 else value.contiguous()
        for name, value in held.items()
    }
    save_file(whole, file, metadata=_notes(needs_example))


def note_example(file: Path) -> None:
    """Say in a file of weights that one example of the input is needed to load it."""
    save_file(load_file(file), file, metadata=_notes(True))


def first_name(model: nn.Module, name: str) -> str:
    """The name that a weight had in the model first loaded."""
    history = carried(model)
    return history.first_path(name) if history else name


def check_fits(stored: Stored, full: nn.Module, expected: Mapping[str, str], cuts: Collection[Cut] = ()) -> None:
    """Refuse weights that are not those of `full` without its removed layers, before it is edited.

    `expected` is the name in `full` to the name in the file, of all that stays. A weight beside a stack that `cuts`
    shortens may have lost the parts of the layers that went. Raises SaveError.
    """
    own = full.state_dict(keep_vars=True)
    present = {id(own[name]) for name, there in expected.items() if there in stored.tensors}
    lacking = [
        there for name, there in expected.items() if there not in stored.tensors and id(own[name]) not in present
    ]
    if lost := sorted({*lacking, *(set(stored.tensors) - set(expected.values()))}):
        raise SaveError(
            f"{stored.file} does not fit {type(full).__name__} without its removed layers: {lost[0]} is on one side "
            "only. Load it into the model it was saved from."
        )
    for name, there in expected.items():
        if there not in stored.tensors or stored.tensors[there].shape == own[name].shape:
            continue
        held, full_shape = tuple(stored.tensors[there].shape), tuple(own[name].shape)
        if all(layered_dim(full_shape, held, cut.depth - cut.gone, cut.depth) is None for cut in cuts):
            shapes = [" x ".join(map(str, value.shape)) for value in (stored.tensors[there], own[name])]
            raise SaveError(f"{stored.file} holds {there} as {shapes[0]}; this {type(full).__name__} has {shapes[1]}.")


def fill(model: nn.Module, stored: Stored, *, by_first_name: bool) -> None:
    """Give `model` the weights and their dtypes; tied weights are stored once and stay tied. Raises SaveError.

    What replaces a layer takes its weights from the plan that the model carries.
    """
    with_the_plan = own_names(model)
    every = model.state_dict(keep_vars=True)
    own = {name: value for name, value in every.items() if name not in with_the_plan}
    source = {name: first_name(model, name) if by_first_name else name for name in own}
    given = {name: stored.tensors[there] for name, there in source.items() if there in stored.tensors}
    filled = {id(own[name]) for name in given}
    lacking = [name for name, value in own.items() if id(value) not in filled]
    if lost := sorted({*lacking, *(set(stored.tensors) - set(source.values()))}):
        raise SaveError(f"{stored.file} does not fit the model without its removed layers: {lost[0]}.")
    _refuse_two_for_one(own, given, stored)
    for name, value in given.items():
        own[name].data = own[name].data.to(value.dtype)
    state = OrderedDict(given)
    state._metadata = getattr(every, "_metadata", {})  # type: ignore[attr-defined]  # the versions of torch's modules
    model.load_state_dict(state, strict=False)
    take_from_plan(model)


def _refuse_two_for_one(own: dict[str, Any], given: dict[str, torch.Tensor], stored: Stored) -> None:
    """Raise SaveError where the model ties two weights that were stored with different values."""
    first: dict[int, str] = {}
    for name, value in given.items():
        other = first.setdefault(id(own[name]), name)
        if not torch.equal(given[other], value):
            raise SaveError(
                f"{stored.file} holds different values for {other} and {name}, which this model ties. Untie them first."
            )


def closed_up(history: Carried, name: str) -> str:
    """The name that a weight of the model first loaded has in the model that carries `history`."""
    return history.present_path(name)


def _notes(needs_example: bool) -> dict[str, str]:
    return {"format": "pt", _NEEDS_EXAMPLE: "true"} if needs_example else {"format": "pt"}
