"""Parameters that take part in a gradient graph although their layer did not run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def attach(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """`x` with the parameters of `layer` in its gradient graph: each gets a gradient of zero, at no arithmetic.

    DistributedDataParallel waits for a gradient of every parameter in every step. A layer that one process skips and
    another runs would hang it or raise, unless it searches for unused parameters in each step
    (`find_unused_parameters=True`). With the skipped layer attached there is nothing to search for.

    The result is a copy, so that an in-place operation behind it does not reach `x`; where no gradient is wanted, `x`
    itself.
    """
    wanted = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    if not wanted or not torch.is_grad_enabled():
        return x
    attached: torch.Tensor = _Attached.apply(x, *wanted)  # type: ignore[no-untyped-call]
    return attached


class _Attached(torch.autograd.Function):
    """Copies its first input; the others get zeros in the backward pass."""

    generate_vmap_rule = True  # for the gradients of each sample: torch.func.vmap(grad(...))

    @staticmethod
    def forward(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (gradient, *(torch.zeros_like(parameter) for parameter in ctx.saved_tensors))

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return tangent.clone()
