"""What a model carries about how it came to be, and whether it still is the model that a step's figures are about."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import nn

from identikit.results.provenance import Provenance, Step
from identikit.structure.fingerprints import identity_of
from identikit.structure.wrappers import unwrapped
from identikit.surgery.carried import live_plans

_PROVENANCE = "_identikit_provenance"


def provenance_of(model: nn.Module) -> Provenance:
    """What was done to `model`, as far as it carries that; nothing for a model as it was loaded."""
    found = unwrapped(model).__dict__.get(_PROVENANCE)
    return found if isinstance(found, Provenance) else Provenance()


def carry_provenance(model: nn.Module, what: Provenance) -> None:
    """Let `model` carry `what` from now on; a provenance without steps leaves no attribute behind."""
    if what.steps:
        unwrapped(model).__dict__[_PROVENANCE] = what
    else:
        unwrapped(model).__dict__.pop(_PROVENANCE, None)


def note_step(model: nn.Module, step: Step) -> None:
    """Let `model` carry one step more. Its figures, where it has any, are those of the model as it is now."""
    told = replace(step, state=state_of(model) if step.figures else "")
    carry_provenance(model, provenance_of(model).then(told))


def state_of(model: nn.Module) -> str:
    """The structure, weights and saved buffers of `model` in a few characters; empty where values are elsewhere."""
    inner = unwrapped(model)
    identity, buffers = identity_of(inner), _buffers_of(inner)
    return f"{identity.structure} {identity.weights} {buffers}" if identity.weights and buffers else ""


def holding(model: nn.Module) -> tuple[bool, ...]:
    """Of each step that `model` carries, whether its figures are still those of this very model.

    They are not once layers went or are bypassed, or a weight or a running statistic has another value or precision.
    All weights are read where there are figures.
    """
    steps = provenance_of(model).steps
    now = state_of(model) if any(step.figures for step in steps) and not live_plans(model) else ""
    return tuple(bool(now) and step.state == now for step in steps)


def _buffers_of(model: nn.Module) -> str:
    """A hash of what is saved beside the parameters: the running statistics of batch norms; empty where it is away."""
    digest = hashlib.sha256()
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
            if value.is_meta:
                return ""
            digest.update(f"{name} {value.dtype}".encode())
            if value.numel():
                digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
