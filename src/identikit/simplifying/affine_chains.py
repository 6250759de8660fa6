"""Two linear layers, one right behind the other, are one: W = W2 W1, b = W2 b1 + b2. Convolutions where one is 1 x 1.

Only where that has no more weights than the two (a narrow layer between two wide ones is there to save them).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from identikit.results.simplified import Left, Rewritten
from identikit.simplifying.fold_norm import bound, torchs_own
from identikit.simplifying.steps import Put, Rewrite, Weights
from identikit.simplifying.view import View


def merging(view: View) -> Iterator[Rewrite | Left]:
    """A rewrite for each pair of adjacent linear layers; a pair that must stay is told, with why."""
    for path, calls in view.watched.by_path.items():
        second = calls[0]
        if not path or not view.linear(second):
            continue
        first = view.maker(second.args[0])
        if first is None or not view.linear(first) or not _fit(first.module, second.module):
            continue
        merged = _merged(first.module, second.module)
        if merged is None or view.read_elsewhere(first.output, first, second):
            continue
        why = bound(view, first) or bound(view, second)
        if why is not None:
            yield Left(path, why)
            continue
        weight, bias, into_second = merged
        into, gone = (second, first) if into_second else (first, second)
        told = Rewritten("merge", gone.path, into.path, f"merged into {into.path}")
        steps = (Weights(into.path, weight, bias), Put(gone.path))
        yield Rewrite(told, steps, frozenset({first.path, second.path}))


def _fit(first: Any, second: Any) -> bool:
    """Whether the two are one map of the same kind: linear ones, or convolutions of which one looks at one point."""
    if not (torchs_own(first) and torchs_own(second)):
        return False
    if isinstance(first, nn.Linear) or isinstance(second, nn.Linear):
        return isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    if first.groups != 1 or second.groups != 1 or len(first.kernel_size) != len(second.kernel_size):
        return False
    if _one_point(second):
        return True
    return _one_point(first) and (first.bias is None or not _pads_zeros(second))


def _one_point(module: Any) -> bool:
    """Whether a convolution mixes channels alone."""
    return {*module.kernel_size, *module.stride} == {1} and not _pads(module)


def _pads(module: Any) -> bool:
    padding = module.padding
    return padding == "same" and {*module.kernel_size} != {1} if isinstance(padding, str) else any(padding)


def _pads_zeros(module: Any) -> bool:
    return _pads(module) and module.padding_mode == "zeros"


def _merged(first: Any, second: Any) -> tuple[torch.Tensor, torch.Tensor | None, bool] | None:
    """Weight and bias of both in one, in float64, and whether they belong into the second; None where it has more."""
    w1, w2 = first.weight.detach().double(), second.weight.detach().double()
    pointwise_second = w2.ndim == 2 or _one_point(second)
    if pointwise_second:
        weight = torch.einsum("om,mi...->oi...", w2.flatten(1), w1)
    else:
        weight = torch.einsum("om...,mi->oi...", w2, w1.flatten(1))
    bias = None if second.bias is None else second.bias.detach().double()
    if first.bias is not None:
        through = (w2.flatten(2).sum(2) if w2.ndim > 2 else w2) @ first.bias.detach().double()
        bias = through if bias is None else bias + through
    before = sum(value.numel() for each in (first, second) for value in each.parameters())
    after = weight.numel() + (0 if bias is None else bias.numel())
    return None if after > before else (weight, bias, not pointwise_second)
