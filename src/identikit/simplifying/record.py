"""What a simplified model says of itself, and why its library cannot save it."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from identikit.errors import SaveError
from identikit.results.simplified import Simplified
from identikit.structure.wrappers import unwrapped

_RECORD = "_identikit_simplified"


def simplified(model: nn.Module) -> Simplified | None:
    """What `ik.simplify` did to `model`; None where it has not been simplified. Prints as a table.

    Example:
        >>> import torch, identikit as ik
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.BatchNorm1d(8)).eval()
        >>> [each.kind for each in ik.simplified(ik.simplify(model, torch.randn(2, 4))).rewrites]
        ['strip', 'fold']
    """
    found = unwrapped(model).__dict__.get(_RECORD)
    return found if isinstance(found, Simplified) else None


def record(model: nn.Module, what: Simplified) -> None:
    """Let `model` say what was done to it; of a second simplifying both."""
    before = simplified(model)
    if before is not None:
        same = before.same_state and what.same_state
        what = replace(what, rewrites=(*before.rewrites, *what.rewrites), before=before.before, same_state=same)
    model.__dict__[_RECORD] = what


def refuse_simplified(model: nn.Module) -> None:
    """Raise SaveError for a model whose weights were folded: no library's loader has layers for what is left."""
    found = simplified(model)
    if found is not None and not found.same_state:
        raise SaveError(
            f"ik.simplify folded layers of this {type(model).__name__} together, so the code it comes from cannot load "
            'its weights. Export it: ik.export(model, "model.pt2", inputs), or "model.onnx". Or keep the object: '
            'torch.save(model, "simplified.pt").'
        )
