"""The identity layer: takes any call, returns the stream, and says so when more is asked of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from identikit.errors import AbsentError, BlockError
from identikit.nn.template import Argument, Template, fill, learn, leaves, mapped, stream

__all__ = ["Argument", "Identity", "stream"]


class Identity(nn.Identity):
    """Return what came in, whatever else came with it.

    A drop-in for `torch.nn.Identity` (and a subclass, so that `isinstance` checks hold) that takes any
    constructor arguments and any call. The *stream* is the first argument that is, or holds, a tensor;
    without a tensor it is the first argument.

    Args:
        *args: ignored, as by `torch.nn.Identity`: `Identity(64, 128)` stands where `Linear(64, 128)` was.
        index: position of the stream among the positional arguments.
        name: keyword of the stream; with `index`, the keyword is looked for first.
        returns: what to return, with `stream` in its place: `returns=(stream, None)` for a layer that returned
            its attention weights too. `Argument(2)` and `Argument("mask")` hand other arguments on.
        copy: return a copy of the stream. Without it the same object is returned, and an in-place operation
            on the one edits the other (`return x, identity(x)`).
        **kwargs: ignored.

    Shape:
        The stream's, dtype and device too: it is the same object unless `copy` is set.

    Raises:
        BlockError: if a call lacks the argument that `index` or `name` points to.
        AbsentError: on reading an attribute that only the replaced layer would have had; it is an
            AttributeError, so `hasattr` and `getattr` with a default work.

    The many-argument identity was asked for in pytorch#42015 and left open there because "which of several inputs
    is the output?" has no one answer; `index`, `name` and `returns` are the answer to give.

    Example:
        >>> attention_off = Identity(returns=(stream, None))
        >>> attention_off(torch.ones(2, 3), mask=None)
        (tensor([[1., 1., 1.],
                [1., 1., 1.]]), None)
    """

    def __init__(
        self,
        *args: Any,
        index: int | None = None,
        name: str | None = None,
        returns: Template | None = None,
        copy: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.index = index
        self.name = name
        self.returns = returns
        self.copy = copy
        self._stands_for: tuple[str, frozenset[str]] | None = None
        if returns is not None and stream not in leaves(returns):
            raise BlockError(
                f"Identity(returns={returns!r}) does not return the stream. Put identikit.nn.stream where the output "
                "goes: returns=(stream, None)."
            )

    @classmethod
    def like(
        cls,
        layer: nn.Module,
        example: Any,
        *,
        index: int | None = None,
        name: str | None = None,
        returns: Template | None = None,
        copy: bool = False,
    ) -> Identity:
        """The identity that can stand where `layer` is: the template of its outputs is learned from one call.

        A copy of the layer runs once, in eval mode and without gradients; the layer itself is not touched. The
        one output of the stream's shape and dtype becomes the stream, an output that is one of the arguments is
        handed on, every other tensor becomes None. What later layers need of those is lost (T5's first block makes
        the position bias of all others): `identikit.bypass` looks for that, and refuses.

        Args:
            layer: the layer to stand in for.
            example: one example of what it is called with: a tensor, a tuple of arguments, or a dict of keywords.
            index, name, copy: as in the constructor.
            returns: the template, where it cannot be learned.

        Raises:
            BlockError: if no output has the stream's shape (the layer cannot be the identity), or several have.
        """
        if returns is None:
            returns = learn(layer, example, Argument(index, name))
        identity = cls(index=index, name=name, returns=returns, copy=copy)
        own = frozenset(dir(layer)) - frozenset(dir(identity))
        identity._stands_for = (type(layer).__name__, own)
        return identity

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The stream, or the template around it."""
        plain = self.index is None and self.name is None and self.returns is None and not self.copy
        if plain and args and isinstance(args[0], torch.Tensor):
            return args[0]
        value = Argument(self.index, self.name).of(args, kwargs)
        if self.copy:
            value = mapped(value, _cloned)
        return value if self.returns is None else fill(self.returns, value, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            raise AbsentError(self._absent(name), name=name, obj=self) from error

    def _absent(self, name: str) -> str:
        kind, names = self.__dict__.get("_stands_for") or ("", frozenset())
        found = f"the {kind} it stands for has one" if name in names else "the layer it stands for may have had one"
        return (
            f'Identity has no attribute "{name}"; {found}. Set it (identity.{name} = ...), or keep the layer in place '
            "and put it out of action with identikit.bypass(model, place)."
        )

    def extra_repr(self) -> str:
        """What differs from the plain identity."""
        said = {"index": self.index, "name": self.name, "copy": self.copy or None}
        parts = [f"{key}={value!r}" for key, value in said.items() if value is not None]
        if self.returns is not None:
            parts.append(f"returns={self.returns!r}")
        return ", ".join(parts)


def _cloned(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
