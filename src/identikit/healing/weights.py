"""The weights that learn: copied, put back bit for bit, and held in float32 while they learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

Held = dict[str, torch.Tensor]


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of `model` that may learn, by name."""
    named = model.named_parameters()
    return {name: value for name, value in named if value.requires_grad and value.is_floating_point()}


def held(model: nn.Module, names: Callable[[nn.Module], Mapping[str, torch.Tensor]] = learning) -> Held:
    """A copy in main memory of the parameters that learn and of all buffers."""
    every = {**names(model), **dict(model.named_buffers())}
    return {name: value.detach().to("cpu", copy=True) for name, value in every.items()}


@torch.no_grad()
def put_back(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Give the parameters and buffers of `model` the values of `state`, in place."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if name in state:
            value.copy_(state[name])


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """The parameters that learn in float32 inside, rounded to their own dtype behind: a step is too small for bf16."""
    own = [(value, value.data) for value in learning(model).values() if value.dtype.itemsize < 4]
    for value, before in own:
        value.data = before.float()
    try:
        yield
    finally:
        for value, before in own:
            before.copy_(value.data)
            value.data = before
            value.grad = None


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside: the mode of each module, what may learn and the gradients are afterwards as before."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(value, value.requires_grad, value.grad) for value in model.parameters()]
    model.eval()
    for value, _, _ in flags:
        value.grad = None
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for value, flag, gradient in flags:
            value.requires_grad_(flag)
            value.grad = gradient


def batch_norms_learn(model: nn.Module) -> None:
    """Let batch norms work with their batches' statistics, and their running ones follow."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()


@contextmanager
def in_use(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode inside, as it was behind."""
    modes = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in modes:
            module.training = True
