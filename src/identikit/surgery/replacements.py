"""What stands in a slot whose layer was removed for good: the same place in the forward pass, none of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class Absent(nn.Module):
    """The stand-in of a removed layer whose slot must stay: a named child, or one that its parent picks by number.

    Plain attributes of the layer (numbers, texts) stay readable, since parents read them off layers they do not call;
    so do whole numbers of the modules that were inside it, since one of them may be the layer's number. What replaces
    the layer (its mean, a fitted map) is its `replacement`: it moves, learns and is saved with the model.
    """

    def __init__(self, layer: nn.Module, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.removed = type(layer).__name__
        self._forward = forward
        found = getattr(forward, "replacement", None)
        if found is not None:
            learns = any(parameter.requires_grad for parameter in layer.parameters())
            self.replacement = found.requires_grad_(learns)
        for name, value in vars(layer).items():
            if isinstance(value, (str, int, float)) and not name.startswith("_"):
                vars(self)[name] = value
        for module in layer.modules():
            sizes = getattr(module, "__constants__", ())
            for name, value in vars(module).items():
                if type(value) is int and not name.startswith("_") and name not in sizes:
                    vars(self).setdefault(name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._forward(*args, **kwargs)

    def extra_repr(self) -> str:
        return f"removed={self.removed}"

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise AttributeError(f"this {self.removed} was removed by identikit, and with it .{name}") from None


def replacements(model: nn.Module) -> dict[str, nn.Module]:
    """Path of each stand-in that has a replacement to this replacement; one that fills several slots stands in each."""
    slots = model.named_modules(remove_duplicate=False)
    return {
        path: module.replacement
        for path, module in slots
        if isinstance(module, Absent) and "replacement" in module._modules
    }
