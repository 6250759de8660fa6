"""What a model carries about how it came to be, and whether it still is the model that a step's figures are about."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from identikit.results.provenance import Provenance, Step
from identikit.structure.fingerprints import identity_of
from identikit.structure.wrappers import unwrapped

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
    """The structure and the weights of `model` in a few characters; empty where the weights are elsewhere."""
    identity = identity_of(unwrapped(model))
    return f"{identity.structure} {identity.weights}" if identity.weights else ""


def holding(model: nn.Module) -> tuple[bool, ...]:
    """Of each step that `model` carries, whether its figures are still those of this very model.

    They are not once layers went, or a weight has another value or precision. All weights are read where there are
    figures.
    """
    steps = provenance_of(model).steps
    now = state_of(model) if any(step.figures for step in steps) else ""
    return tuple(bool(now) and step.state == now for step in steps)
