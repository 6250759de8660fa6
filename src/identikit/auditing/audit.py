"""`audit`: the mistakes that people publish, looked for in a user's own model."""

from __future__ import annotations

from typing import Any

from torch import nn

from identikit.auditing import (
    bias_before_norm,
    broadcast,
    dead_branch,
    edited_input,
    edited_skip,
    never_called,
    no_gradient,
    overwritten,
    shared_outputs,
)
from identikit.auditing.forward_error import ForwardError
from identikit.auditing.record import record
from identikit.auditing.tape import Tape
from identikit.batches import Batch, as_inputs
from identikit.errors import InputsError
from identikit.families import family_of
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.plain import Family
from identikit.results.finding import Finding, Findings

_RULES = (
    no_gradient,
    overwritten,
    edited_skip,
    edited_input,
    broadcast,
    shared_outputs,
    dead_branch,
    never_called,
    bias_before_norm,
)


def audit(model: nn.Module, inputs: Any = None, *, family: Family | None = None) -> Findings:
    """The published mistakes that `model` makes, mistakes first, each with the module at fault and the fix.

    Looked for: parameters that get no gradient, in-place operations that break backward, edit a skip or the caller's
    tensors, additions that broadcast, outputs that share memory, dead branches, layers never called, biases before a
    batch norm. A "mistake" is what its author cannot have meant; a "note" may be meant.

    The model runs three times, once in training mode (batch norms keep their statistics), twice with a backward; it
    is as it was afterwards: weights, buffers, gradients, modes, random state. What other inputs would reach is not
    seen. Give two examples at least: with one, nothing can be added crosswise.

    Args:
        model: any module.
        inputs: one example of what its forward takes (tensor, tuple or dict); the family's own where None.
        family: the model's library, where identikit does not know it.

    Raises:
        InputsError: no example is known, or the model does not run on it; it says in which layer.

    Example:
        >>> import torch, identikit as ik
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> ik.audit(model, torch.randn(2, 4))[0].message
        '"0" adds a bias that "1" (BatchNorm1d) takes away again.'
    """
    anatomy = _anatomy(model, inputs, family)
    tapes, found = _recorded(anatomy)
    for rule in _RULES:
        found += rule.find(tapes)
    return Findings(dict.fromkeys(found), type(model).__name__, [rule.LOOKED_FOR for rule in _RULES])


def _recorded(anatomy: Anatomy) -> tuple[list[Tape], list[Finding]]:
    """The passes to judge: as used and, where it runs, as trained; and a note where it does not."""
    model, batch = anatomy.model, anatomy.batch
    with anatomy.family.quiet(model):
        used = record(model, batch, training=False)
        try:
            return [used, record(model, batch, training=True)], []
        except ForwardError as stopped:
            says = f"{stopped.visit.name} does not run in training mode on these inputs ({stopped.why})"
            note = f"{says}, so the model was judged in eval mode alone."
            fix = "Give inputs that it can be trained on, such as more examples."
            return [used], [Finding("training mode", stopped.visit.path, "note", note, fix)]


def _anatomy(model: nn.Module, inputs: Any, family: Family | None) -> Anatomy:
    """The model on its inputs; where it does not run on them, an InputsError that names the layer."""
    try:
        return anatomy_of(model, inputs, family)
    except InputsError as error:
        if error.__cause__ is None:
            raise
        said = _located(model, inputs, family, error.__cause__)
        if said is None:
            raise
        raise InputsError(said) from error.__cause__


def _located(model: nn.Module, inputs: Any, family: Family | None, cause: BaseException) -> str | None:
    """What to say of a forward that raised `cause`: in which layer, and how to mend it; None where that is open."""
    family = family_of(model, family)
    batch: Batch | None = as_inputs(inputs) if inputs is not None else family.example(model)
    if batch is None:
        return None
    try:
        with family.quiet(model):
            record(model, batch, training=False)
    except ForwardError as stopped:
        if str(stopped.__cause__) == str(cause):
            return f"{type(model).__name__} does not run on these inputs: {stopped.advice}"
    return None
