"""Does a layer's output continue its input? Asked by noise, where the chain alone does not show it.

The recorded outputs of the units that mix features are replayed, the rest is live, noise is added to the input: where
the output's change points along the noise, the output continues the input.
"""

from __future__ import annotations

from typing import Any

import torch

from identikit.batches import map_tensors
from identikit.structure.noise import cosine, noise_for
from identikit.structure.replay import NOT_PROVED, Key, Recording, put
from identikit.structure.streams import Flow
from identikit.structure.traceless import traceless
from identikit.structure.trees import Path, at, shape_of
from identikit.structure.watch import Call, Location, located, parameter_names

NOISE = (0.1, 1.0)  # of the input's root mean square
CONTINUES = 0.5  # cosine between the output's change and the noise, see docs/architecture.md


def continues(call: Call, found: Flow) -> bool:
    """Whether every stream of `found` goes on from its input to its output through `call` itself."""
    if not call.replayable or not found.streams:
        return False
    try:
        recording = Recording(call)
        frozen = _frozen_mixers(recording)
        return all(_continues(recording, frozen, place, path) for path, place in found.streams.items())
    except NOT_PROVED:
        return False


def continued(call: Call, path: Path) -> Location | None:
    """The one input that the output at `path` continues, where several have its shape; None if that is not one."""
    output = at(call.output, path)
    fitting = [place for place, value in call.tensors_in() if shape_of(value) == shape_of(output)]
    if not call.replayable or not output.is_floating_point() or len(fitting) < 2:
        return None
    try:
        recording = Recording(call)
        frozen = _frozen_mixers(recording)
        found = [place for place in fitting if _continues(recording, frozen, place, path)]
    except NOT_PROVED:
        return None
    return found[0] if len(found) == 1 else None


def _frozen_mixers(recording: Recording) -> dict[Key, Any]:
    return {key: seen.output for key, seen in recording.seen.items() if _mixes(recording, key)}


def _continues(recording: Recording, frozen: dict[Key, Any], place: Location, path: Path) -> bool:
    entered = dict(recording.entries()).get(place)
    if entered is None:
        return False
    before = at(recording.run(frozen), path)
    for level in NOISE:
        noise = noise_for(entered, level)
        change = at(recording.run(frozen, (place, entered + noise)), path) - before
        if cosine(change, noise) >= CONTINUES:
            return True
    return False


def _mixes(recording: Recording, key: Key) -> bool:
    """Whether a call mixes features: a leaf, or an owner of matrices, whose response to noise points elsewhere."""
    module, seen = recording.modules[key[0]], recording.seen[key]
    if any(True for _ in module.children()) and not any(p.ndim >= 2 for p in module.parameters(recurse=False)):
        return False
    if not isinstance(seen.output, torch.Tensor):
        return True
    names = parameter_names(module.forward)
    for place, value in located(names, seen.args, seen.kwargs):
        if isinstance(value, torch.Tensor) and value.shape == seen.output.shape and value.is_floating_point():
            noise = noise_for(value, 0.1)
            args, kwargs = map_tensors(put(names, seen.args, seen.kwargs, (place, value + noise)), torch.clone)
            with traceless(module):
                return cosine(module(*args, **kwargs) - seen.output, noise) <= CONTINUES
    return True
