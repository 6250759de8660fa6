"""An addition that stretches one activation over the features of another: 50 features plus 1, or (N,) plus (N, 1).

A mask, a position embedding or a gate is stretched too, and means it. What tells a mistake: the dimension that is
stretched is the one that a layer's features lie along, so one feature is added to all of another layer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from identikit.auditing.features import features, taken_by_a_layer
from identikit.auditing.tape import Step, Tape
from identikit.auditing.words import shape
from identikit.results.finding import Finding
from identikit.structure.operations import adds, memory, only_looks

LOOKED_FOR = "additions that broadcast"


def find(tapes: Sequence[Tape]) -> Iterator[Finding]:
    """Only where both were computed from what the model was given, and one of them by a layer.

    A mistake where a residual is added so: one of the two is computed from the other, or a layer takes the sum. Two
    heads whose sum the model returns (a value and its advantages) and what is subtracted are notes.
    """
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
        if one.ndim != other.ndim and not any(_turned(tape, step, each) for each in step.inputs):
            yield _crossed(step, total)
        return
    small, large, over = (one, other, first) if first else (other, one, second)
    related = _from(tape, step, small, large) or _from(tape, step, large, small)
    added = step.name.startswith("add")
    if len(over) == 1 and _one_feature(tape, step, small, large, over[0]):
        proved = added and (related or taken_by_a_layer(tape, step))
        yield _one_to_all(step, small, large, over[0]) if proved else _repeated(step, small, large, over[0])
    elif added and related and _made_by_layers(tape, step):  # who subtracts a mean normalises
        says = f"{step.visit.name} adds shape {shape(small)} to {shape(large)}"
        message = f"{says}, of which one is computed from the other: the first is repeated."
        fix = "Bring both to one shape; nothing, if it is meant."
        yield Finding("broadcast", step.visit.path, "note", message, fix)


def _stretched(tensor: torch.Tensor, total: Sequence[int]) -> list[int]:
    """The dimensions, counted from the end, along which `tensor` is repeated."""
    sizes = [1] * (len(total) - tensor.ndim) + list(tensor.shape)
    return [number - len(total) for number, size in enumerate(sizes) if size == 1 < total[number]]


def _turned(tape: Tape, step: Step, tensor: torch.Tensor) -> bool:
    """Whether a view made the row or column on purpose: an index of None, unsqueeze, view(-1, 1)."""
    for before in reversed(tape.steps[: step.number]):
        if memory(tensor) in before.made:
            if not only_looks(before.function):
                return False
            given, made = before.inputs[0], before.outputs[0]
            if given.numel() == made.numel() and list(given.shape).count(1) < list(made.shape).count(1):
                return True
    return False


def _made_by_layers(tape: Tape, step: Step) -> bool:
    return all(memory(each) in tape.from_parameters for each in step.inputs)


def _from(tape: Tape, step: Step, one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether `one` was computed from `other` before `step`."""
    return memory(one) in tape.computed_from({memory(other)}, until=step.number)


def _one_feature(tape: Tape, step: Step, small: torch.Tensor, large: torch.Tensor, over: int) -> bool:
    """Whether `over` is where the features lie: of the layer that made `small`, or of the one `small` is a skip of.

    A skip is a whole tensor that some call was given; what is added back to a forecast (a mean, a last value) is not.
    """
    made = features(tape, step, small)
    if made is not None:
        return made == over
    calls = [tape.root, *tape.visits]
    whole = any(memory(each) == memory(small) and each.shape == small.shape for call in calls for each in call.inputs)
    return whole and features(tape, step, large) == over and _from(tape, step, large, small)


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


def _repeated(step: Step, small: torch.Tensor, large: torch.Tensor, over: int) -> Finding:
    does, count = "adds" if step.name.startswith("add") else "subtracts", large.shape[over]
    message = (
        f"{step.visit.name} {does} shapes {shape(small)} and {shape(large)}: the one feature of the first is repeated "
        f"for all {count} of the second."
    )
    fix = f"Give both {count} features; nothing, if it is meant (expand_as says so)."
    return Finding("broadcast", step.visit.path, "note", message, fix)
