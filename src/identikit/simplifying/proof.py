"""Every rewrite is proved: outputs in float64 on the caller's inputs and on noise; what is not equal is undone."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch, map_tensors, tensors_of
from identikit.errors import ModelError
from identikit.families.anatomy import Anatomy
from identikit.families.plain import Family
from identikit.simplifying.steps import Rewrite, Snapshot
from identikit.structure.compare import difference
from identikit.structure.replay import NOT_PROVED
from identikit.structure.traceless import traceless

#: What `difference` allows in float64: 1 of its units is this share of the values' size.
RELATIVE = 1e-9
#: How much farther from float64's outputs than the model was it may be in its own dtype.
_ROUNDING = 2.0


@dataclass
class Copy:
    """The copy that rewrites are tried on, what it takes, and what it made of that at first.

    Where it is not `in_float64`, only what changes no bit is kept.
    """

    model: nn.Module
    batches: tuple[Batch, ...]
    truth: tuple[Any, ...]
    family: Family
    in_float64: bool

    def apart(self) -> float:
        """How far the outputs are from what they were, as a share of what float64 allows; infinity where it fails."""
        try:
            found = [output_of(self.model, self.family, batch) for batch in self.batches]
        except NOT_PROVED:
            return float("inf")
        return max(difference(one, other) for one, other in zip(found, self.truth, strict=True))

    def keep_equal(self, rewrites: Sequence[Rewrite]) -> tuple[list[Rewrite], list[Rewrite]]:
        """Take all that leave the outputs equal; returns those, and the others, of which nothing is left."""
        if not rewrites:
            return [], []
        before = Snapshot(self.model)
        for rewrite in rewrites:
            rewrite.take(self.model)
        if self.apart() <= (1 if self.in_float64 else 0):
            return list(rewrites), []
        before.put_back()
        if len(rewrites) == 1:
            return [], list(rewrites)
        middle = len(rewrites) // 2
        kept, undone = self.keep_equal(rewrites[:middle])
        more, also = self.keep_equal(rewrites[middle:])
        return [*kept, *more], [*undone, *also]


def copied(model: nn.Module, batch: Batch, family: Family) -> Copy:
    """The float64 copy of `model` with the batch and, where it takes that, another of noise with one more example.

    Of a model that does not run in float64 (grouped matrix products have none) a copy as it is, for rewrites that
    change no bit. Raises ModelError where there is neither: then nothing can be proved.
    """
    device = next((value.device for value in tensors_of((batch.args, batch.kwargs))), torch.device("cpu"))
    exact = batch.to(device, torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the weights of a copied ScriptModule are no leaves
            tried = copy.deepcopy(model)
            try:
                tried.double()
                outputs = [output_of(tried, family, exact)]
            except NOT_PROVED:
                exact, tried = batch, copy.deepcopy(model)
                outputs = [output_of(tried, family, exact)]
    except NOT_PROVED as cause:
        line = (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")
        raise ModelError(
            f"a copy of {type(model).__name__}, where simplify proves itself, does not run ({line}). The model was "
            "left as it was."
        ) from cause
    batches = [exact]
    for other in (longer(exact), noise_like(exact)):
        try:
            outputs.append(output_of(tried, family, other))
        except NOT_PROVED:  # this model takes one number of examples alone, or no noise
            continue
        batches.append(other)
        break
    return Copy(tried, tuple(batches), tuple(outputs), family, in_float64=exact is not batch)


def taken(anatomy: Anatomy, tried: Copy, rewrites: Sequence[Rewrite]) -> tuple[list[Rewrite], float]:
    """Do to the model what was kept in the copy; returns what was kept here, and how far the outputs are apart.

    In its own dtype they may differ as that allows, or be as near to float64's outputs as they were (rounding falls
    elsewhere, and a deep network makes more of it). Where they are farther, the last kind of rewrite is left out, then
    the one before it: 16 bits do not hold a kernel that an identity was added to as they held the two.
    """
    model, family = anatomy.model, anatomy.family
    batches = [anatomy.batch, *(in_dtype_of(batch, anatomy.batch) for batch in tried.batches[1:])]
    old = [output_of(model, family, batch) for batch in batches] if rewrites else []
    for number in _cuts(rewrites):
        with ExitStack() as undo:
            undo.callback(Snapshot(model).put_back)
            for rewrite in rewrites[:number]:
                rewrite.take(model)
            new = [output_of(model, family, batch) for batch in batches]
            pairs = list(zip(new, old, tried.truth, strict=True))
            if all(difference(*pair[:2]) <= 1 or _as_near(*pair) for pair in pairs):
                undo.pop_all()
                apart = max(difference(_doubles(one), _doubles(other)) for one, other, _ in pairs)
                return list(rewrites[:number]), apart * RELATIVE
    return [], 0.0


def _cuts(rewrites: Sequence[Rewrite]) -> list[int]:
    """How many rewrites to take: all, or those before the first of a kind; the most first. They build on each other."""
    kinds = [each.told.kind for each in rewrites]
    return sorted({len(kinds), *(kinds.index(kind) for kind in kinds)} - {0}, reverse=True)


def _as_near(new: Any, old: Any, truth: Any) -> bool:
    """Whether `new` is as near to float64's outputs as `old` was, give or take how rounding falls."""
    return difference(_doubles(new), truth) <= _ROUNDING * difference(_doubles(old), truth) < float("inf")


def in_dtype_of(batch: Batch, like: Batch) -> Batch:
    """`batch` with each floating tensor in the dtype of the one at its place in `like`."""
    dtypes = iter([value.dtype for value in tensors_of((like.args, like.kwargs))])
    args, kwargs = map_tensors((batch.args, batch.kwargs), lambda value: value.to(next(dtypes)))
    return replace(batch, args=args, kwargs=kwargs)


def _doubles(output: Any) -> Any:
    return map_tensors(output, lambda value: value.double() if value.is_floating_point() else value)


def output_of(model: nn.Module, family: Family, batch: Batch) -> Any:
    """One pass without a trace; a model that draws random numbers draws the same ones each time."""
    with family.quiet(model), traceless(model):
        torch.manual_seed(0)
        return batch.copied().call(model)


def noise_like(batch: Batch) -> Batch:
    """`batch` with noise of each tensor's own size for it; numbers that name things are drawn from those there are."""
    generator = torch.Generator().manual_seed(1)

    def noise(value: torch.Tensor) -> torch.Tensor:
        if value.is_floating_point():
            size = value.float().nan_to_num(posinf=0.0, neginf=0.0).square().mean().sqrt().clamp_min(1e-2)
            drawn = torch.randn(value.shape, generator=generator, dtype=torch.float64) * float(size)
            masked = value.abs() >= 1e4  # "masked", which noise would unmask
            return torch.where(masked, value, drawn.to(value))
        if value.dtype is torch.bool or value.numel() < 2 or int(value.max()) <= 1:
            return value
        order = torch.randperm(value.numel(), generator=generator).to(value.device)
        return value.flatten()[order].view(value.shape)

    args, kwargs = map_tensors((batch.args, batch.kwargs), noise)
    return replace(batch, args=args, kwargs=kwargs)


def longer(batch: Batch) -> Batch:
    """Noise like `batch` with one more example: tensors with as many rows as there are examples get one more."""
    rows = max((len(value) for value in tensors_of((batch.args, batch.kwargs)) if value.ndim), default=0)

    def one_more(value: torch.Tensor) -> torch.Tensor:
        return torch.cat([value, value[:1]]) if value.ndim and len(value) == rows else value

    args, kwargs = map_tensors((batch.args, batch.kwargs), one_more)
    return noise_like(replace(batch, args=args, kwargs=kwargs))


def shapes_of(batch: Batch) -> str:
    """The shapes of the tensors in a batch, for a report."""
    return ", ".join("x".join(map(str, value.shape)) or "number" for value in tensors_of((batch.args, batch.kwargs)))
