"""Folding: the last product before a gap is refitted, so that its layer ends as the last dropped layer did.

The sum in which the layer ends becomes the sum in which the dropped one ended, and what runs after it (the norm of a
post-norm layer) is taken over from there: no new parameter, no new layer, so a plain checkpoint holds it.

Source: ReplaceMe (Shopkhoev et al. 2025, arXiv 2505.02819) folds a linear map of the feed-forward's output into its
projection; here the projection itself is free, which holds that map as one case, and layers that end in a norm or an
activation are met at the sum before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import nn

from identikit.batches import Batch
from identikit.compensating.ending import Ending, ending_of
from identikit.compensating.exact import exact_rows
from identikit.compensating.gaps import Gap, stream_of
from identikit.compensating.halves import Halves
from identikit.compensating.reading import Reading, read
from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy
from identikit.replacing.fit import Solution
from identikit.replacing.layout import LAST
from identikit.replacing.padding import counted
from identikit.surgery.slot import Slot, slot_of

_DEAD = 1e-6  # a feature whose scale is so small beside the largest cannot be reached by the product


class Fold:
    """One gap of `student` (the model without the layers), and the full model that `anatomy` shows."""

    def __init__(self, anatomy: Anatomy, student: nn.Module, gap: Gap, present: str) -> None:
        """`present`: where the layer before the gap stands in the student. Raises RoleError where it cannot be."""
        assert gap.before is not None
        self.into = gap.before
        self._anatomy, self._student, self._gap, self._present = anatomy, student, gap, present
        self._kept, self._last = ending_slot(anatomy, gap.before), stream_of(anatomy, gap.gone[-1])
        self._layer = student.get_submodule(present)
        _require_own(student, self._layer, gap.before)
        self._ending = ending_of(gap.before, self._kept.call, self._kept.output.numel())
        _require_alike(anatomy, gap, self._ending)
        self._module = self._layer.get_submodule(self._ending.projection)

    @property
    def changed(self) -> nn.Module:
        """The layer whose weights change."""
        return self._layer

    def make(self, data: Iterable[Batch]) -> None:
        """Fit on `data`, and write the weights."""
        self._take_over_tail()
        ending, halves = self._ending, None
        for batch in data:
            here = batch.to(self._anatomy.device)
            x, y = self._rows(here)
            halves = halves or Halves(x.shape[1], y.shape[1], x.device)
            halves.add(x, y)
        if halves is None or not halves.rows:
            raise RoleError(f'nothing but padding reached "{self._gap.before}". Give other data.')
        free = self._module._parameters.get("bias") is not None or ending.shift is not None
        prior = ending.product.matrix(self._module).double()
        self._write(halves.best(prior.to(halves.device), bias=free))

    def _rows(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the product takes [rows, in], and what it should make of it [rows, out], padding left out."""
        ending, anatomy = self._ending, self._anatomy
        whole = read(anatomy.model, anatomy.family, batch, self._gap.gone[-1], self._last.leaves)
        small = read(self._student, anatomy.family, batch, self._present, self._kept.leaves, ending.projection)
        own, taken, made = small.whole(self.into)
        if whole.sum is None or whole.sum.shape != own.shape:
            raise RoleError(f'on the data, "{self._gap.gone[-1]}" and "{self.into}" do not end alike.')
        wanted, ended = (exact_rows(value, ending.axis) for value in (whole.sum, own))
        product = exact_rows(made, ending.product.axis)
        scale = ending.scale.to(product)
        alive = scale.abs() > _DEAD * scale.abs().max()
        missing = _resized(wanted, ended, ending) - ended
        target = product + torch.where(alive, missing / torch.where(alive, scale, 1.0), 0.0)
        given = exact_rows(ending.product.taken(self._module, taken), LAST)
        keep = _counted(anatomy, self._last, batch, whole)
        return (given, target) if keep is None else (given[keep], target[keep])

    def _write(self, solution: Solution) -> None:
        shift = self._ending.shift
        self._ending.product.put(self._module, solution.weight, solution.bias)
        if shift is not None:
            own = self._layer.get_submodule(shift.path)._parameters["bias"]
            assert own is not None
            moved, each = self._ending.scale.to(solution.bias) * solution.bias, shift.each.to(solution.bias)
            with torch.no_grad():
                own.add_(torch.where(each == 0, 0.0, moved / torch.where(each == 0, 1.0, each)).to(own))

    def _take_over_tail(self) -> None:
        last = self._anatomy.model.get_submodule(self._gap.gone[-1])
        for path in self._ending.tail:
            self._layer.get_submodule(path).load_state_dict(last.get_submodule(path).state_dict())


def ending_slot(anatomy: Anatomy, path: str) -> Slot:
    """Where the stream leaves a layer that stays; it may enter it in another shape. Raises RoleError."""
    calls = len(anatomy.watched.by_path.get(path, []))
    if calls != 1:
        raise RoleError(f'nothing can be folded into "{path}": it is called {calls} times. Use compensate="adapter".')
    return slot_of(anatomy, path, {})


def _resized(wanted: torch.Tensor, own: torch.Tensor, ending: Ending) -> torch.Tensor:
    """`wanted` [rows, features] at the size that `own` has there, where what follows does not look at it."""
    if not ending.scale_free:
        return wanted
    theirs, ours = (_centred(value, free=ending.shift_free) for value in (wanted, own))
    larger: torch.Tensor = ours.norm(dim=1, keepdim=True) / theirs.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return theirs * larger + (own - ours)


def _centred(value: torch.Tensor, *, free: bool) -> torch.Tensor:
    return value - value.mean(1, keepdim=True) if free else value


def _counted(anatomy: Anatomy, slot: Slot, batch: Batch, seen: Reading) -> torch.Tensor | None:
    if seen.left is None or slot.layout is None or slot.layout.axis != LAST:
        return None
    mask = counted(anatomy.watched, slot.output, batch, seen.left)
    return None if mask is None else mask.reshape(-1)


def _require_own(student: nn.Module, layer: nn.Module, path: str) -> None:
    """Raise RoleError where weights of the layer are held elsewhere too, or are not here."""
    places = Counter(id(value) for _, value in student.named_parameters(remove_duplicate=False))
    own = Counter(id(value) for _, value in layer.named_parameters(remove_duplicate=False))
    for name, value in layer.named_parameters():
        if value.is_meta or places[id(value)] > own[id(value)]:
            why = "is not in memory" if value.is_meta else "is used elsewhere too"
            raise RoleError(f'nothing can be folded into "{path}": its {name} {why}. Use compensate="adapter".')


def _require_alike(anatomy: Anatomy, gap: Gap, ending: Ending) -> None:
    """Raise RoleError where what runs after the sum cannot be taken over, or is not the layer's own."""
    kept, last = (anatomy.model.get_submodule(path) for path in (str(gap.before), gap.gone[-1]))
    theirs = dict(last.named_modules())
    for path in ending.tail:
        own, other = kept.get_submodule(path), theirs.get(path)
        if type(own) is not type(other) or _shapes(own) != _shapes(other):
            raise RoleError(
                f'nothing can be folded into "{gap.before}": it ends in {type(own).__name__} ("{path}"), and '
                f'"{gap.gone[-1]}" does not. Use compensate="adapter".'
            )


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items()}
