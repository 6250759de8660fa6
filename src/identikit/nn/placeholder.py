"""A place kept for a layer: `maybe` makes the layer, or an identity that remembers how it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from identikit.errors import BlockError
from identikit.nn.identity import Identity
from identikit.nn.shape_text import kind_text


def maybe(layer: Callable[..., nn.Module], *args: Any, when: bool = True, **kwargs: Any) -> nn.Module:
    """`layer(*args, **kwargs)`, or a `Placeholder` for it where `when` is False.

    A network written with it has the same children under the same names either way, so the keys of all other layers in
    a state dict stay: only those of the layer that is off are missing.

    Args:
        layer: a class of module, or a function that returns one. A module that is already made is refused: off, it
            would hold memory that no `.to()` moves. `Switch(module, enabled=False)` is for those.
        *args, **kwargs: what it is made with; checked against its signature when it is off, too.
        when: True or False, nothing else: `bool()` of a Sequential is whether it has children.

    Returns:
        The layer, or the placeholder.

    Raises:
        BlockError: if `when` is not a bool, `layer` is not something that makes a module, or the arguments do not fit
            it.

    Example:
        >>> norm = maybe(nn.BatchNorm1d, 64, momentum=0.05, when=False)
        >>> net = nn.Sequential(nn.Linear(4, 64), norm, nn.Linear(64, 2))
        >>> net[1]
        Placeholder(BatchNorm1d(64, momentum=0.05))
        >>> list(net.state_dict())
        ['0.weight', '0.bias', '2.weight', '2.bias']
        >>> net[1] = net[1].restore()
    """
    placeholder = Placeholder(layer, *args, **kwargs)
    if not isinstance(when, bool):
        raise BlockError(
            f"maybe: when= is {kind_text(when)}, not True or False. Say what you mean: when=layer is not None, or "
            "when=len(layers) > 0."
        )
    return placeholder.restore() if when else placeholder


class Placeholder(Identity):
    """An identity that remembers the layer it keeps a place for. It takes any call and returns the stream.

    Args:
        layer: a class of module, or a function that returns one.
        *args, **kwargs: what it will be made with.

    Raises:
        BlockError: if `layer` cannot make a module, or the arguments do not fit its signature.

    A copy and a pickle remember too; a pickle needs a `layer` that can be imported (no lambda). Modules among the
    arguments are kept as they are, outside the state dict, and become part of the layer that is restored.
    """

    def __init__(self, layer: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> None:
        super().__init__()
        _check_makes_module(layer)
        self.layer = layer
        self.arguments = args
        self.keywords = kwargs
        try:
            inspect.signature(layer).bind(*args, **kwargs)
        except (TypeError, ValueError) as error:  # the arguments do not fit; a builtin does not say what it takes
            raise BlockError(f"maybe: {self.extra_repr()} cannot be made: {error}.") from error

    def restore(self) -> nn.Module:
        """The layer, made now, with fresh weights and in this placeholder's train or eval mode.

        It is not put in place by itself: `net.norm = net.norm.restore()`. It is made on the default device and in the
        default dtype, unless the arguments say otherwise.
        """
        made = self.layer(*self.arguments, **self.keywords)
        if not isinstance(made, nn.Module):
            raise BlockError(f"maybe: {self.extra_repr()} made {kind_text(made)}, not a module.")
        return made.train(self.training)

    def _absent(self, name: str) -> str:
        return (
            f'Placeholder has no attribute "{name}"; it keeps the place of {self.extra_repr()}, which is off. '
            "Make the layer first: net.layer = net.layer.restore()."
        )

    def extra_repr(self) -> str:
        """The layer as one would write it."""
        given = [repr(each) for each in self.arguments] + [f"{key}={value!r}" for key, value in self.keywords.items()]
        return f"{_name(self.layer)}({', '.join(given)})"


def _check_makes_module(layer: Any) -> None:
    if isinstance(layer, nn.Module):
        raise BlockError(
            f"maybe: {_name(type(layer))} is already made. Give its class and arguments, "
            f"maybe({_name(type(layer))}, ...), or switch the module itself: Switch(module, enabled=False)."
        )
    if not callable(layer) or (isinstance(layer, type) and not issubclass(layer, nn.Module)):
        raise BlockError(f"maybe: {layer!r} makes no module. Give a class of module first: maybe(nn.BatchNorm1d, 64).")


def _name(layer: Any) -> str:
    return getattr(layer, "__name__", None) or type(layer).__name__
