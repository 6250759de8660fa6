"""Examples tried out: of several that a model may take, the first that it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from identikit.batches import Batch
from identikit.structure.traceless import traceless
from identikit.structure.valueless import home_of

EXAMPLES = 2  # one would leave open which dimension counts the examples


def first_that_runs(model: nn.Module, batches: Iterable[Batch]) -> Batch | None:
    """The first of `batches` that `model` takes (in eval mode, without a trace); None where it takes none."""
    return next((batch for batch in batches if _runs(model, batch)), None)


def pictures(model: nn.Module, *shapes: Sequence[int]) -> Batch:
    """One positional argument for each of `shapes`: two examples of it, the same at every call, where `model` is."""
    dtype = next((value.dtype for value in model.parameters() if value.is_floating_point()), None)
    draw = torch.Generator().manual_seed(0)
    made = [torch.randn(EXAMPLES, *shape, generator=draw) for shape in shapes]
    device = home_of(model) or torch.device("cpu")
    return Batch(args=tuple(each.to(device, dtype) for each in made), examples=EXAMPLES)


def _runs(model: nn.Module, batch: Batch) -> bool:
    try:
        with traceless(model):
            batch.copied().call(model)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever a forward raises, it does not take these inputs
        return False
    return True
