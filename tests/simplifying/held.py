"""A model simplified and held against a copy that was not, in float64 and in its own dtype, on inputs of two sizes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

import identikit as ik
from identikit.results.simplified import Simplified
from identikit.structure.trees import leaves


def trained(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """`model` in eval mode, with statistics and weights in its norms that are not those they start with."""
    draw = torch.Generator().manual_seed(seed)

    def drawn(value: torch.Tensor, low: float, high: float) -> None:
        value.data.copy_(torch.rand(value.shape, generator=draw) * (high - low) + low)

    for module in model.modules():
        if isinstance(getattr(module, "running_mean", None), torch.Tensor):
            drawn(module.running_mean, -0.5, 0.5)
            drawn(module.running_var, 0.5, 1.5)
            if module.weight is not None:
                drawn(module.weight, 0.5, 1.5)
                drawn(module.bias, -0.5, 0.5)
    return model.eval()


def simplified(model: nn.Module, inputs: Any) -> Simplified:
    """What `ik.simplify` did to `model`, which must compute what it did: to 1e-9 in float64, 1e-5 in float32."""
    before = copy.deepcopy(model)
    assert ik.simplify(model, inputs) is model
    found = ik.simplified(model)
    assert found is not None
    assert apart(model, before, inputs) < (1e-5 if dtype_of(model) is torch.float32 else 2e-2)
    exact = [copy.deepcopy(each).double() for each in (model, before)]
    if dtype_of(model) is torch.float64:
        assert apart(*exact, inputs) < 1e-12
    assert apart(*exact, inputs) < (1e-6 if dtype_of(model) is torch.float32 else 2e-2)  # its weights are rounded
    return found


def apart(one: nn.Module, other: nn.Module, inputs: Any) -> float:
    """How far two models are apart, at most, as a share of their outputs' size: on `inputs` and on more rows."""
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    more = tuple(torch.cat([each, each.flip(0) * (2 if each.is_floating_point() else 1)]) for each in args)
    worst = 0.0
    for given in (args, more):
        cast = [each.to(dtype_of(one)) if each.is_floating_point() else each for each in given]
        with torch.no_grad():
            pairs = zip(_tensors(one(*cast)), _tensors(other(*cast)), strict=True)
            worst = max(worst, *(float((a - b).norm() / b.norm()) for a, b in pairs))
    return worst


def dtype_of(model: nn.Module) -> torch.dtype:
    return next((value.dtype for value in model.parameters()), torch.float32)


def names(model: nn.Module) -> list[str]:
    """The classes of the layers in it that have no layers themselves, in order."""
    return [type(each).__name__ for each in model.modules() if not any(each.children())]


def done(found: Simplified, kind: str) -> dict[str, str]:
    """Which layer went where, of one kind of rewrite."""
    return {each.at: each.into for each in found.rewrites if each.kind == kind}


def left(found: Simplified) -> dict[str, str]:
    """Which layer was left, and why."""
    return {each.at: each.why for each in found.left}


def picture(channels: int = 3, side: int = 9) -> torch.Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(0))


def _tensors(output: Any) -> list[torch.Tensor]:
    return [leaf for _, leaf in leaves(output) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()]
