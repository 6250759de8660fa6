"""All that a model holds, and what has changed in it since: the other half of every law about undoing."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

CONTAINERS = (dict, list, set, OrderedDict)


class Snapshot:
    """What `model` held: attributes by identity, containers by their members, tensors and configurations by value."""

    def __init__(self, model: nn.Module) -> None:
        self._paths = [(path, id(module), type(module)) for path, module in _modules(model)]
        self._attributes = {path: dict(vars(module)) for path, module in _modules(model)}
        self._contents = {path: _contents(module) for path, module in _modules(model)}
        self.keys = list(model.state_dict())
        self._tensors = {name: (value, value.detach().clone(), value.dtype) for name, value in _tensors(model)}
        grads = [(name, value.grad) for name, value in _weights(model)]
        self._grads = {name: (grad, None if grad is None else grad.clone()) for name, grad in grads}
        self._configs = {path: copy.deepcopy(vars(config)) for path, config in _configs(model)}

    def changes(self, model: nn.Module) -> list[str]:
        """What differs now, in words; empty where nothing does."""
        found = [] if self._paths == [(p, id(m), type(m)) for p, m in _modules(model)] else ["other modules"]
        found += [] if self.keys == list(model.state_dict()) else ["other state dict keys"]
        for path, module in _modules(model):
            found += _differing(f"{path}.", self._attributes.get(path, {}), vars(module))
            for name, members in self._contents.get(path, {}).items():
                found += _differing(f"{path}.{name}: ", members, _members(vars(module).get(name)))
        for name, value in _tensors(model):
            held, content, dtype = self._tensors.get(name, (None, None, None))
            if held is not value or value.dtype != dtype or not torch.equal(value, content):
                found.append(f"tensor {name}")
        for name, value in _weights(model):
            grad, content = self._grads.get(name, (None, None))
            if grad is not value.grad or (grad is not None and not torch.equal(grad, content)):
                found.append(f"grad of {name}")
        for path, config in _configs(model):
            found += [] if self._configs.get(path) == vars(config) else [f"configuration {path}"]
        return found


def _modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(model.named_modules(remove_duplicate=False))


def _tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*_weights(model), *model.named_buffers(remove_duplicate=False)]


def _weights(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(model.named_parameters(remove_duplicate=False))


def _configs(model: nn.Module) -> list[tuple[str, Any]]:
    names = ("config", "generation_config")
    held = [(f"{path}.{name}", vars(module).get(name)) for path, module in _modules(model) for name in names]
    return [(path, config) for path, config in held if config is not None]


def _contents(module: nn.Module) -> dict[str, dict[Any, Any]]:
    return {name: _members(value) for name, value in vars(module).items() if type(value) in CONTAINERS}


def _members(container: Any) -> dict[Any, Any]:
    if isinstance(container, dict):
        return dict(container)
    return dict(enumerate(sorted(container, key=repr) if isinstance(container, set) else container or ()))


def _differing(where: str, before: dict[Any, Any], now: dict[Any, Any]) -> list[str]:
    """The names that are held on one side only, in another order, or with another object."""
    if list(before) != list(now):
        return [f"{where}holds other names: {sorted(map(str, set(before) ^ set(now))) or 'in another order'}"]
    return [f"{where}{name}" for name, value in before.items() if now[name] is not value]
