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
from identikit.auditing.passes import opened, recorded
from identikit.auditing.said_once import said_once
from identikit.families.plain import Family
from identikit.results.finding import Findings
from identikit.turns import in_turn

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


@in_turn
def audit(model: nn.Module, inputs: Any = None, *, family: Family | None = None) -> Findings:
    """The published mistakes that `model` makes, mistakes first, each with the module at fault and the fix.

    Looked for: parameters that get no gradient, in-place operations that break backward, edit a skip or the caller's
    tensors, additions that broadcast, outputs that share memory, dead branches, layers never called, biases before a
    batch norm. A "mistake" is what its author cannot have meant; a "note" may be meant.

    The model runs three times, once in training mode (batch norms keep their statistics), twice with a backward; it
    is as it was afterwards: weights, buffers, gradients, modes, random state. One thing cannot be put back, and a
    warning names it: a weight of more than 16,384 values that the forward itself writes into. What other inputs would
    reach is not seen. Give two examples at least: with one, nothing can be added crosswise.

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
    with said_once():
        tapes, found = recorded(opened(model, inputs, family))
    for rule in _RULES if tapes else ():
        found += rule.find(tapes)
    return Findings(dict.fromkeys(found), type(model).__name__, [rule.LOOKED_FOR for rule in _RULES])
