"""Attentions and hidden states that are asked for while a layer is out of action: None stands in its place.

transformers collects attentions by forward hooks on the modules that compute them. A layer that is edited does not call
those inside it, so the tuple would be shorter and every later entry would stand at another layer's place.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from identikit.errors import RoleError
from identikit.structure.watch import Call

_HOOKS = "transformers.utils.output_capturing"  # where the hooks come from that collect outputs
_ASKS = "output_attentions"


class NothingRecorded:
    """Called with the arguments of every call of an edited layer; holds the modules that are not run."""

    def __init__(self, layer: nn.Module, call: Call) -> None:
        self.layer = layer
        self.silent = [module for module in layer.modules() if module is not layer]
        self.path = call.path
        names = list(inspect.signature(type(layer).forward).parameters)[1:]
        self.position = names.index(_ASKS) if _ASKS in names else None
        # Where the checked call returned attentions, asked or not, the edited layer returns None in their place.
        asked = any(place.name == _ASKS and value is True for place, value in call.inputs)
        self.known = asked or len(call.tensors_out()) > 1
        self.returns_tuple = isinstance(call.output, tuple)

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():
            return
        collected = self._enter_nothing()
        if self.position is not None and not collected and not self.known and self._asked(args, kwargs):
            raise RoleError(
                f'"{self.path}" is out of action and cannot say what it would return under {_ASKS}=True. '
                f"Apply the edit with inputs that ask for it: inputs={{..., '{_ASKS}': True}}."
            )

    def _enter_nothing(self) -> bool:
        """Hand None to the hooks that would have collected; whether there are such hooks."""
        hooks = [(module, hook) for module in self.silent for hook in _collecting(module)]
        for module, hook in hooks:
            hook(module, (None,), None)
        own = _collecting(self.layer)
        for hook in own:  # runs by itself after the edited forward, but passes over a None inside a tuple
            named = inspect.getclosurevars(hook).nonlocals
            if self.returns_tuple and named.get("key") != "hidden_states" and named.get("index", 0) > 0:
                hook(self.layer, (None,), None)
        return bool(hooks or own)

    def _asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        if self.position is not None and self.position < len(args):
            return bool(args[self.position])
        return bool(kwargs.get(_ASKS))


def _collecting(module: nn.Module) -> list[Any]:
    return [hook for hook in module._forward_hooks.values() if getattr(hook, "__module__", "") == _HOOKS]
