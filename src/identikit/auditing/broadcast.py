"""An addition that stretches one activation over the features of another: 50 features plus 1, or (N,) plus (N, 1).

A mask, a position embedding or a gate is stretched too, and means it. What tells a mistake: the dimension that is
stretched is the one that a layer's features lie along, so one feature is added to all of another layer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from identikit.auditing.tape import Step, Tape
from identikit.auditing.words import shape
from identikit.results.finding import Finding
from identikit.structure.operations import adds, memory

LOOKED_FOR = "additions that broadcast"
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm", "linear")


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """Only where both were computed from what the model was given, and one of them by a layer."""
    for tape in tapes:
        for step in tape.steps:
            if adds(step.function) and len(step.inputs) == 2 and _both_activations(tape, step):
                yield from _judged(tape, step)


def _both_activations(tape: Tape, step: Step) -> bool:
    one, other = step.inputs
    if one.is_nested or other.is_nested or one.shape == other.shape or 0 in (one.ndim, other.ndim):
        return False
    given = all(each.is_floating_point() and memory(each) in tape.from_inputs for each in (one, other))
    return given and any(memory(each) in tape.from_parameters for each in (one, other))


def _judged(tape: Tape, step: Step) -> Iterator[Finding]:
    one, other = step.inputs
    total = torch.broadcast_shapes(one.shape, other.shape)
    first, second = _stretched(one, total), _stretched(other, total)
    if first and second:
        if one.ndim != other.ndim:
            yield _crossed(step, total)
        return
    small, large, over = (one, other, first) if first else (other, one, second)
    if len(over) == 1 and _one_feature(tape, step, small, large, over[0]):
        yield _one_to_all(step, small, large, over[0])
    elif step.name.startswith("add") and _related(tape, small, large):  # who subtracts a mean normalises
        says = f"{step.visit.name} adds shape {shape(small)} to {shape(large)}"
        message = f"{says}, of which one is computed from the other: the first is repeated."
        fix = "Bring both to one shape; nothing, if it is meant."
        yield Finding("broadcast", step.visit.path, "note", message, fix)


def _stretched(tensor: torch.Tensor, total: Sequence[int]) -> list[int]:
    """The dimensions, counted from the end, along which `tensor` is repeated."""
    sizes = [1] * (len(total) - tensor.ndim) + list(tensor.shape)
    return [number - len(total) for number, size in enumerate(sizes) if size == 1 < total[number]]


def _related(tape: Tape, one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether layers made both, one from the other."""
    made = all(memory(each) in tape.from_parameters for each in (one, other))
    return made and (_from(tape, one, other) or _from(tape, other, one))


def _from(tape: Tape, one: torch.Tensor, other: torch.Tensor) -> bool:
    return memory(one) in tape.computed_from({memory(other)})


def _one_feature(tape: Tape, step: Step, small: torch.Tensor, large: torch.Tensor, over: int) -> bool:
    """Whether `over` is where the features lie: of the layer that made `small`, or of the one `small` is a skip of."""
    made = _features(tape, step, small)
    if made is not None:
        return made == over
    return _features(tape, step, large) == over and _from(tape, large, small)


def _features(tape: Tape, before: Step, tensor: torch.Tensor) -> int | None:
    """The dimension, from the end, of the features of the layer that made `tensor`, activations and norms aside."""
    number = memory(tensor)
    for step in reversed(tape.steps[: before.number]):
        outputs = {memory(each) for each in step.outputs}
        if number not in outputs or number in {memory(each) for each in step.inputs}:  # of a view, see its origin
            continue
        made = step.outputs[0]
        if step.name in _PRODUCTS:
            return -1 if tensor.ndim > 1 and tensor.shape[-1] == made.shape[-1] else None
        if step.name == "convolution":
            return 1 - made.ndim if tensor.shape == made.shape else None
        same = [each for each in step.inputs if each.shape == made.shape]
        if not same:
            return None
        number = memory(same[0])
    return None


def _crossed(step: Step, total: Sequence[int]) -> Finding:
    one, other = step.inputs
    message = f"{step.visit.name} adds shapes {shape(one)} and {shape(other)}: the sum has shape {tuple(total)}."
    fix = "Bring both to one shape first: squeeze(-1) or unsqueeze(-1)."
    return Finding("broadcast", step.visit.path, "mistake", message, fix)


def _one_to_all(step: Step, small: torch.Tensor, large: torch.Tensor, over: int) -> Finding:
    message = (
        f"{step.visit.name} adds shape {shape(small)} to {shape(large)}: the one feature of the first is added to all "
        f"{large.shape[over]} of the second."
    )
    fix = f"Give both {large.shape[over]} features (a skip needs a projection); if it is meant, say so with expand_as."
    return Finding("broadcast", step.visit.path, "mistake", message, fix)
