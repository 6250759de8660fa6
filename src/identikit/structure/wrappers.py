"""What torch puts around a whole model to run it in another way: the same layers, one path component further down."""

from __future__ import annotations

from torch import nn

_NAMES = ("module", "_orig_mod")  # nn.DataParallel and DistributedDataParallel; torch.compile


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside such wrappers, or `model` itself. An edit of it is seen through them: they hold its layers."""
    return model.get_submodule(prefix_of(model).rstrip("."))


def prefix_of(model: nn.Module) -> str:
    """What stands in front of every path of the model inside: "_orig_mod." of a compiled model; mostly nothing.

    A wrapper is a class of torch itself that has one child, under one of the names it uses for that, and no tensor of
    its own.
    """
    prefix, inner = "", model
    while (name := _only_child(inner)) is not None:
        prefix, inner = f"{prefix}{name}.", inner.get_submodule(name)
    return prefix


def _only_child(module: nn.Module) -> str | None:
    names = list(module._modules)
    if len(names) != 1 or names[0] not in _NAMES or type(module).__module__.split(".")[0] != "torch":
        return None
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return None if own or module._modules[names[0]] is None else names[0]
