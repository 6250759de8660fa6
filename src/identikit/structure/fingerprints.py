"""The identity of a model: a fingerprint of its structure, a hash of its weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Identity:
    """`structure` hashes paths, classes and parameter shapes; `weights` the values; `model` is the class's name."""

    structure: str
    weights: str
    model: str


def structure_of(model: nn.Module) -> str:
    """A hash of every module's path and class and every parameter's name and shape."""
    digest = hashlib.sha256()
    for path, module in model.named_modules():
        digest.update(f"{path}:{_own_class(module).__qualname__}\n".encode())
        for name, parameter in module.named_parameters(recurse=False):
            digest.update(f"  {name}{tuple(parameter.shape)}\n".encode())
    return digest.hexdigest()[:16]


def _own_class(module: nn.Module) -> type:
    """The class that the module was made as: FSDP puts one of its own in front when it shards a model in place."""
    return next(kind for kind in type(module).__mro__ if not kind.__module__.startswith("torch.distributed.fsdp"))


def weights_of(model: nn.Module) -> str:
    """A hash of every parameter's values. Weights without values (on the meta device) give an empty text."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            return ""
        values = parameter.detach().cpu().contiguous()
        digest.update(name.encode())
        if values.numel():
            digest.update(values.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def identity_of(model: nn.Module) -> Identity:
    """Both hashes and the class's name."""
    return Identity(structure_of(model), weights_of(model), type(model).__name__)
