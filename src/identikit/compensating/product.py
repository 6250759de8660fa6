"""A layer that is one product with its own weight: its inputs as rows, its weight as a matrix, whatever its class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from identikit.replacing.layout import FIRST, LAST
from identikit.replacing.maps import rows

_CLOSE = 1e-5


@dataclass(frozen=True)
class Product:
    """`y = x @ matrix.T (+ bias)` with rows x [positions, in] and y [positions, out].

    turned: the weight lies as [in, out] (GPT-2's Conv1D). axis: where the features of the output lie.
    """

    turned: bool
    axis: int

    def taken(self, module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """What `module` takes, as one row a position; of a convolution the values under its window."""
        return _windows(module, x) if self.axis == FIRST else rows(x, LAST)

    def matrix(self, module: nn.Module) -> torch.Tensor:
        """The weight as [out, in]."""
        weight = _weight(module).detach()
        return weight.T if self.turned else weight.flatten(1)

    def put(self, module: nn.Module, matrix: torch.Tensor, bias: torch.Tensor) -> None:
        """Write `matrix` [out, in] into the weight, and `bias` [out] where the module has one."""
        weight, own = _weight(module), module._parameters.get("bias")
        with torch.no_grad():
            weight.copy_((matrix.T if self.turned else matrix).reshape(weight.shape))
            if own is not None:
                own.copy_(bias)


def product_of(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Product | None:
    """What product `module` is, judged by what it made of `x`; None where it is none, or holds its weight otherwise."""
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
    if weight is None or weight.ndim < 2 or not weight.is_floating_point() or len(module._parameters) > 2:
        return None
    if hasattr(module, "parametrizations") or type(weight) is not nn.Parameter or not x.is_floating_point():
        return None
    for found in _forms(module, weight):
        width = weight.shape[0] if found.turned else weight[0].numel()
        if y.ndim < 2 or y.shape[found.axis] != (weight.shape[1] if found.turned else len(weight)):
            continue
        if found.axis == LAST and x.shape[-1] != width:
            continue
        made = found.taken(module, x) @ found.matrix(module).T + (0 if bias is None else bias.detach())
        expected = rows(y, found.axis)
        if made.shape == expected.shape and bool((made - expected).abs().max() <= _CLOSE * expected.abs().max()):
            return found
    return None


def _forms(module: nn.Module, weight: torch.Tensor) -> list[Product]:
    if weight.ndim == 2:
        return [Product(turned=False, axis=LAST), Product(turned=True, axis=LAST)]
    plain = isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups == 1 and module.padding_mode == "zeros"
    return [Product(turned=False, axis=FIRST)] if plain and not isinstance(module.padding, str) else []


def _weight(module: nn.Module) -> torch.Tensor:
    weight = module._parameters["weight"]
    assert weight is not None
    return weight


def _windows(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The values under each position's window: [positions, features * window]."""
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    line = isinstance(module, nn.Conv1d)

    def sized(sizes: tuple[int, ...], other: int) -> tuple[int, ...]:
        return (other, *sizes) if line else sizes

    seen = functional.unfold(
        x.unsqueeze(2) if line else x,
        sized(module.kernel_size, 1),
        dilation=sized(module.dilation, 1),
        padding=sized(tuple(map(int, module.padding)), 0),
        stride=sized(module.stride, 1),
    )
    return seen.transpose(1, 2).flatten(0, 1)
