"""What a healed model says of itself."""

from __future__ import annotations

from torch import nn

from identikit.results.header import DataInfo
from identikit.results.healed import Healed
from identikit.results.provenance import Figure, Step
from identikit.structure.wrappers import unwrapped
from identikit.surgery.carried_provenance import note_step

_RECORD = "_identikit_healed"


def healed(model: nn.Module) -> Healed | None:
    """What `ik.heal` did to `model` the last time; None where it has not been healed. Prints as a table."""
    found = unwrapped(model).__dict__.get(_RECORD)
    return found if isinstance(found, Healed) else None


def record(model: nn.Module, what: Healed, fingerprint: str) -> None:
    """Let `model` say what was done to it, and its model card too; `fingerprint`: of the data.

    The examples held out chose the weights, so their figure is one of those that the model was chosen on.
    """
    model.__dict__[_RECORD] = what
    if not what.improved:
        return
    data = DataInfo(what.data, fingerprint, what.held_out)
    figure = Figure(
        what.measure, what.after, before=what.before, full=0.0, higher_is_better=False, data=data, chosen_on=True
    )
    states = f" and by {len(what.pairs)} hidden states" if what.pairs else " alone"
    said = (
        f"It learned from the full model by its outputs{states}, on {what.examples} examples of {what.data}, in "
        f"{what.steps} steps; it ended because {what.stopped}.",
        f"Of all looks at {what.held_out} examples held out, the one after step {what.best_step} was the nearest.",
    )
    note_step(model, Step("heal", said, figures=(figure,)))
