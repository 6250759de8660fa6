"""How a layer ends: which product goes into its last sum, and what runs after that. Proved on a float64 copy.

`last sum = rest + scale * product`, with one number a feature for the scale: dropouts, layer scales and batch norms
between the two are that. So are the two sums of a layer whose attention and feed-forward stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from identikit.compensating.product import Product, product_of
from identikit.compensating.rerun import Rerun
from identikit.errors import RoleError
from identikit.replacing.layout import FIRST, LAST
from identikit.replacing.maps import rows
from identikit.structure.replay import NOT_PROVED
from identikit.structure.watch import Call

_CLOSE = 1e-5
_LOOSE = 1e-2  # a norm adds a little to what it divides by


@dataclass(frozen=True, eq=False)
class Shift:
    """A module between the product and the sum whose `bias` moves the sum by `each` [features] a unit."""

    path: str
    each: torch.Tensor


@dataclass(frozen=True, eq=False)
class Ending:
    """The end of a layer. Paths are inside the layer.

    projection: the product. axis: where the features of the sum lie. scale: [features], float64. tail: the modules
    that run after the sum. shift: what stands in for a bias that the product has not. scale_free, shift_free: whether
    the tail gives the same if each position of the sum is made larger, or has a number added.
    """

    projection: str
    product: Product
    axis: int
    scale: torch.Tensor
    tail: tuple[str, ...]
    shift: Shift | None
    scale_free: bool
    shift_free: bool


def ending_of(path: str, call: Call, numel: int) -> Ending:
    """How the layer of `call` ends; `numel`: how many values its stream has. Raises RoleError where no product does."""
    try:
        found = _ending(path, Rerun(call, numel), numel)
    except NOT_PROVED as cause:
        raise _not_folded(path, f"a copy of it does not run alone ({type(cause).__name__})") from cause
    if found is None:
        raise _not_folded(path, "no product of its own goes straight into its last sum")
    return found


def _not_folded(path: str, why: str) -> RoleError:
    return RoleError(f'nothing can be folded into "{path}": {why}. Use compensate="adapter".')


def _ending(path: str, layer: Rerun, numel: int) -> Ending | None:
    """The latest of the products with the most weights that go into the sum."""
    if layer.sum is None:
        raise _not_folded(path, "it adds nothing to its stream")
    seen = layer.once()
    for inner in sorted(seen, key=lambda each: (_weights(layer.modules[each]), seen[each].ended), reverse=True):
        call, module = seen[inner], layer.modules[inner]
        if len(call.args) != 1 or call.kwargs or not isinstance(call.args[0], torch.Tensor) or not _weights(module):
            continue
        if not isinstance(call.output, torch.Tensor) or call.output.numel() != numel:
            continue
        product = product_of(module, call.args[0], call.output)
        found = product and _scale(layer, inner, call.output, product)
        if product and found:
            axis, scale = found
            return Ending(
                inner, product, axis, scale, layer.tail, _shift(layer, inner, axis, numel), *_free(layer, axis)
            )
    return None


def _scale(layer: Rerun, path: str, made: torch.Tensor, product: Product) -> tuple[int, torch.Tensor] | None:
    """Where the sum's features lie, and by how much each grows with the product's; None where it does not so."""
    assert layer.sum is not None
    noises = [_noise(made, seed) for seed in (0, 1)]
    moved = [layer.moved({path: made + noise}) for noise in noises]
    given = [rows(noise, product.axis) for noise in noises]
    for axis in (LAST, FIRST):
        if layer.sum.ndim < 2 or layer.sum.shape[axis] != made.shape[product.axis]:
            continue
        got = [rows(each, axis) for each in moved if each is not None]
        if len(got) < 2:
            return None
        scale = (given[0] * got[0]).sum(0) / given[0].square().sum(0)
        far = max(float((got[n] - given[n] * scale).abs().max()) for n in (0, 1))
        if far <= _CLOSE * float(got[0].abs().max()) and bool(scale.abs().max() > 0):
            return axis, scale
    return None


def _shift(layer: Rerun, path: str, axis: int, numel: int) -> Shift | None:
    """The module whose bias stands in for the product's own, where that has none."""
    if layer.modules[path]._parameters.get("bias") is not None:
        return None
    seen = layer.once()
    later = [each for each in seen if seen[each].ended > seen[path].ended and each not in layer.tail]
    for inner in sorted(later, key=lambda each: seen[each].ended):
        bias, made = layer.modules[inner]._parameters.get("bias"), seen[inner].output
        if bias is None or not isinstance(made, torch.Tensor) or made.numel() != numel:
            continue
        with torch.no_grad():
            before = bias.clone()
            bias.add_(1)
            moved = layer.moved()
            bias.copy_(before)
        if moved is not None and bias.shape == (moved.shape[axis],):
            each = rows(moved, axis)
            if bool((each - each[0]).abs().max() <= _CLOSE) and bool(each[0].abs().max() > 0):
                return Shift(inner, each[0])
    return None


def _free(layer: Rerun, axis: int) -> tuple[bool, bool]:
    """Whether what runs after the sum looks neither at the size of a position's features, nor at their mean."""
    call = layer.once().get(layer.tail[0]) if len(layer.tail) == 1 else None
    own = layer.sum
    if call is None or own is None or axis != LAST or len(call.args) != 1 or call.kwargs:
        return False, False
    made, module = call.output, layer.modules[layer.tail[0]]
    if not isinstance(made, torch.Tensor) or made.shape != own.shape:
        return False, False
    with torch.no_grad():
        far = [(module(changed) - made).abs().max() for changed in (own * 2, own + own.abs().mean())]
    larger, moved = (bool(each <= _LOOSE * made.abs().max()) for each in far)
    return larger, larger and moved


def _weights(module: nn.Module) -> int:
    """How many numbers a module's matrix holds; 0 where it has none."""
    weight = module._parameters.get("weight")
    return 0 if weight is None or weight.ndim < 2 else weight.numel()


def _noise(like: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = like.abs().mean().clamp_min(1e-6)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like) * size
