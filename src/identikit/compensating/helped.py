"""Whether it helped: how far the stream behind a gap is from the full model's, on batches the fit has not seen."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from identikit.batches import Batch
from identikit.compensating.exact import exact_rows
from identikit.compensating.reading import read
from identikit.families.anatomy import Anatomy
from identikit.replacing.layout import LAST
from identikit.replacing.padding import counted
from identikit.surgery.slot import Slot


def apart(anatomy: Anatomy, student: nn.Module, last: Slot, present: str, own: Slot, data: Iterable[Batch]) -> float:
    """The squared distance of two streams over the spread of the first, padding left out; 0 is equal.

    last: where the full model's leaves the last dropped layer. own: where the student's leaves the layer at `present`.
    """
    error = spread = 0.0
    for batch in data:
        here = batch.to(anatomy.device)
        whole = read(anatomy.model, anatomy.family, here, last.call.path, last.leaves).left
        small = read(student, anatomy.family, here, present, own.leaves).left
        assert whole is not None  # both ran in the checked pass
        assert small is not None
        axis = LAST if last.layout is None else last.layout.axis
        wanted, found = exact_rows(whole, axis), exact_rows(small, axis)
        mask = counted(anatomy.watched, last.output, here, whole) if axis == LAST else None
        if mask is not None:
            wanted, found = wanted[mask.reshape(-1)], found[mask.reshape(-1)]
        error += float((found - wanted).square().sum())
        spread += float((wanted - wanted.mean(0)).square().sum())
    return error / spread if spread > 0 else error


@contextmanager
def put_back(module: nn.Module) -> Iterator[None]:
    """The weights and buffers of `module` as they were, if what is inside fails."""
    held = copy.deepcopy(module.state_dict())
    try:
        yield
    except BaseException:
        restore(module, held)
        raise


def restore(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Write `state` back in place, bit for bit."""
    with torch.no_grad():
        for name, value in module.state_dict().items():
            value.copy_(state[name])
