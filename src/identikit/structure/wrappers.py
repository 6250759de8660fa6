"""What torch puts around a whole model to run it in another way: the same layers, one path component further down."""

from __future__ import annotations

import torch
from torch import nn

from identikit.errors import ModelError

_NAMES = ("module", "_orig_mod")  # nn.DataParallel and DistributedDataParallel; torch.compile


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside such wrappers, or `model` itself. An edit of it is seen through them: they hold its layers."""
    prefix = prefix_of(model)
    return model.get_submodule(prefix.rstrip("."))


def prefix_of(model: nn.Module) -> str:
    """What stands in front of every path of the model inside: "_orig_mod." of a compiled model; mostly nothing.

    A wrapper is a class of torch itself that has one child, under one of the names it uses for that, and no tensor of
    its own. Raises ModelError for what has no layers that Python runs.
    """
    _require_layers(model)
    prefix, inner = "", model
    while (name := _only_child(inner)) is not None:
        prefix, inner = f"{prefix}{name}.", inner.get_submodule(name)
    return prefix


def _require_layers(model: object) -> None:
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else f"of type {type(model).__name__}"
        raise ModelError(f"a model is an nn.Module; this is {what}. Build or load it first.")
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"{type(model).__name__}: a scripted or traced model runs inside TorchScript, where no layer can be "
            "watched or edited. Edit the model first, then script it."
        )


def _only_child(module: nn.Module) -> str | None:
    names = list(module._modules)
    if len(names) != 1 or names[0] not in _NAMES or type(module).__module__.split(".")[0] != "torch":
        return None
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return None if own or module._modules[names[0]] is None else names[0]
