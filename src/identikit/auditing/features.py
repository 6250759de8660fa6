"""Where the features of a layer lie in what was computed from it, and whether a layer takes them."""

from __future__ import annotations

import torch
from torch import nn

from identikit.auditing.tape import Step, Tape
from identikit.structure.operations import memory

_LAST = ("addmm", "mm", "bmm", "baddbmm", "linear", "embedding")
_LAYERS = (*_LAST, "convolution")


def features(tape: Tape, before: Step, tensor: torch.Tensor) -> int | None:
    """The dimension, from the end, of the features of the layer that made `tensor`; activations, norms, pools aside."""
    number, shape = memory(tensor), tensor.shape
    recurrent = (visit for visit in tape.visits if isinstance(visit.module, nn.RNNBase))
    if any(number in visit.returned and visit.end <= before.number for visit in recurrent):
        return -1
    for step in reversed(tape.steps[: before.number]):
        outputs = {memory(each) for each in step.outputs}
        if number not in outputs or number in step.read:  # of a view, see its origin
            continue
        made = step.outputs[0]
        if step.name in _LAST:
            return -1 if len(shape) > 1 and shape[-1] == made.shape[-1] else None
        if step.name == "convolution":
            return 1 - made.ndim if shape == made.shape else None
        same = [each for each in step.inputs if _keeps_features(step, each, made)]
        if not same:
            return None
        number, shape = memory(same[0]), same[0].shape if shape == made.shape else shape
    return None


def taken_by_a_layer(tape: Tape, step: Step) -> bool:
    """Whether a layer with weights takes what `step` made; activations and norms aside."""
    weights = tape.from_parameters - tape.from_inputs
    made = step.outputs[0]
    reached = {memory(made)}
    for later in tape.steps[step.number + 1 :]:
        if not later.read & reached:
            continue
        if later.name in _LAYERS and later.read & weights:
            return True
        if any(each.shape == made.shape for each in later.outputs):
            reached |= later.made
    return False


def _keeps_features(step: Step, given: torch.Tensor, made: torch.Tensor) -> bool:
    return given.shape == made.shape or ("pool" in step.name and given.ndim == made.ndim)
