"""A forward pass that leaves no trace: buffers, attributes, random state, mode and gradients are as before."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import nn

# Hooks live in an OrderedDict: a library may hook its own layers at the first call and note that in an attribute.
_CONTAINERS = (list, dict, set, OrderedDict)


@contextmanager
def traceless(model: nn.Module) -> Iterator[None]:
    """Run what is inside in eval mode and without gradients, and put back everything a forward pass can change.

    Compiled models run eagerly inside: a compiled graph has no layers to watch.
    """
    modules = list(model.modules())
    held = [_Held(module) for module in modules]
    try:
        with _random_state(), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            model.eval()
            yield
    finally:
        for module, before in zip(modules, held, strict=True):
            before.put_back(module)


@contextmanager
def _random_state() -> Iterator[None]:
    """Python's, NumPy's and torch's random state (the accelerator's too) as before."""
    python, numbers = random.getstate(), numpy.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(numbers)


class _Held:
    """What one module holds: its attributes, the content of its plain containers, its buffers' values."""

    def __init__(self, module: nn.Module) -> None:
        self._attributes = dict(module.__dict__)
        self._containers = {
            name: (value, value.copy())
            for name, value in module.__dict__.items()
            if type(value) in _CONTAINERS and name not in ("_parameters", "_modules")
        }
        self._buffers = {
            name: (buffer, buffer._version, buffer.detach().clone())
            for name, buffer in module._buffers.items()
            if buffer is not None and not buffer.is_inference()
        }

    def put_back(self, module: nn.Module) -> None:
        attributes: dict[str, Any] = module.__dict__
        for name in [name for name in attributes if name not in self._attributes]:
            del attributes[name]
        attributes.update(self._attributes)
        for value, content in self._containers.values():
            if value != content if not _holds_tensors(content) else _differs(value, content):
                value.clear()
                value.extend(content) if isinstance(value, list) else value.update(content)
        for buffer, version, content in self._buffers.values():
            if buffer._version != version:
                buffer.copy_(content)


def _holds_tensors(content: Any) -> bool:
    values = content.values() if isinstance(content, dict) else content
    return any(not isinstance(value, (str, int, float, bool, type(None))) for value in values)


def _differs(value: Any, content: Any) -> bool:
    """Whether two containers hold other objects (their members may be tensors, which have no plain equality)."""
    if len(value) != len(content):
        return True
    if isinstance(value, dict):
        return any(key not in content or member is not content[key] for key, member in value.items())
    if isinstance(value, set):
        return bool(value != content)
    return any(one is not other for one, other in zip(value, content, strict=True))
