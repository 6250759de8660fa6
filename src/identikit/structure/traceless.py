"""A forward pass that leaves no trace: tensors, attributes, submodules, random state, mode, gradients are as before."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import nn

from identikit.errors import IdentikitWarning
from identikit.structure.held import Contents, Values, may_change
from identikit.structure.valueless import conditions_hold


@contextmanager
def traceless(model: nn.Module) -> Iterator[Callable[[], bool]]:
    """Run what is inside in eval mode and without gradients, and put back everything a forward pass can change.

    Gives a question: has the model changed since the block began?

    Compiled models run eagerly inside: a compiled graph has no layers to watch. A large weight that was written into
    cannot be put back, it is named in an IdentikitWarning: a copy of all weights would cost as much as the pass.
    """
    held = _Held(model)
    try:
        with _random_state(), torch.no_grad(), torch.compiler.set_stance("force_eager"), conditions_hold(model):
            model.eval()
            yield held.changed
    finally:
        lost = held.put_back()
    if lost:
        names = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        message = f"the forward of {type(model).__name__} writes into its weights ({names}); the run changed them."
        warnings.warn(message, IdentikitWarning, stacklevel=4)


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
    """What a model holds: each module's class and attributes, what is in its containers, its tensors' values."""

    def __init__(self, model: nn.Module) -> None:
        self._modules: list[tuple[nn.Module, type, dict[str, Any]]] = []
        self._contents = Contents()
        self._values: dict[int, tuple[str, Values]] = {}
        for path, module in model.named_modules():
            self._modules.append((module, module.__class__, dict(module.__dict__)))
            start = f"{path}." if path else ""
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
                self._note(start + name, tensor)
            for name, value in module.__dict__.items():
                for tensor in self._contents.note(value) if may_change(value) else ():
                    self._note(start + name, tensor)

    def _note(self, name: str, tensor: torch.Tensor | None) -> None:
        if tensor is not None and id(tensor) not in self._values and Values.readable(tensor):
            self._values[id(tensor)] = (name, Values(tensor))

    def changed(self) -> bool:
        """Whether a pass left a trace so far."""
        for module, kind, before in self._modules:
            now = module.__dict__
            if module.__class__ is not kind or now.keys() != before.keys():
                return True
            if any(now[name] is not value for name, value in before.items() if name != "training"):
                return True
        return self._contents.changed() or any(values.changed() for _, values in self._values.values())

    def put_back(self) -> list[str]:
        """Put everything back; the names of the weights whose values are lost."""
        for module, kind, before in self._modules:
            if module.__class__ is not kind:
                module.__class__ = kind
            attributes: dict[str, Any] = module.__dict__
            for name in [name for name in attributes if name not in before]:
                del attributes[name]
            attributes.update(before)
        self._contents.put_back()
        return [name for name, values in self._values.values() if not values.put_back()]
