"""A tap: an identity whose passing value can be looked at, for a second output or a debug probe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx

from identikit.nn.identity import Identity
from identikit.nn.template import mapped


class Tap(Identity):
    """Hand the stream on; keep a copy of it where somebody asked for one.

    By default a tap keeps nothing, and costs and holds nothing. `with tap.watching() as seen:` collects what passes
    within the block; `keep=True` keeps the last value in `.value` until the next call or `.forget()`. Each tensor that
    is kept is a copy, inside tuples, lists, mappings and dataclasses too, so an in-place operation behind the tap does
    not reach it. It is not part of a state dict, a pickle or a deepcopy.

    torch.export and torch.fx leave no trace of a tap. torch.compile takes one without a graph break, kept values
    included.

    Args:
        label: a name for people.
        keep: keep the last value. A tap in a training loop then holds one activation at all times.
        detach: cut the kept value from the graph. With False it can take part in a loss (a second output), and holds on
            to the graph behind it until it is forgotten.

    Shape:
        Any call in; the stream out, the same object.

    Raises:
        AbsentError: on reading `.value` when nothing was kept; it is an AttributeError, so `hasattr` works.

    Example:
        >>> net = nn.Sequential(nn.Identity(), Tap("hidden"), nn.ReLU(inplace=True))
        >>> with net[1].watching() as seen:
        ...     output = net(torch.tensor([-1.0, 2.0]))
        >>> seen
        [tensor([-1.,  2.])]
    """

    value: Any  # there once something was kept

    def __init__(self, label: str = "", *, keep: bool = False, detach: bool = True) -> None:
        super().__init__()
        self.label = label
        self.keep = keep
        self.detach = detach
        self._watchers: list[list[Any]] = []

    def forget(self) -> None:
        """Let go of the kept value, and of the graph behind it."""
        vars(self).pop("value", None)

    @contextmanager
    def watching(self) -> Iterator[list[Any]]:
        """Collect every value that passes within the block into the list it gives; blocks may hold further blocks."""
        outer, seen = self._watchers, list[Any]()
        self._watchers = [*outer, seen]
        try:
            yield seen
        finally:
            self._watchers = outer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The stream, untouched."""
        value = super().forward(*args, **kwargs)
        # An exported program has no place to keep a value, and what torch.fx passes is none.
        if not torch.compiler.is_exporting() and not isinstance(value, fx.Proxy):
            if self.keep:
                self.value = self._copy(value)
            for seen in self._watchers:
                seen.append(self._copy(value))
        return value

    def _copy(self, value: Any) -> Any:
        """The value with each tensor in it a copy."""

        def copied(part: Any) -> Any:
            if not isinstance(part, torch.Tensor):
                return part
            return (part.detach() if self.detach else part).clone()

        return mapped(value, copied)

    def __getstate__(self) -> dict[str, Any]:
        """Without kept values: a copy of a model is a copy of its layers."""
        return {name: item for name, item in vars(self).items() if name != "value"} | {"_watchers": []}

    def _absent(self, name: str) -> str:
        if name != "value":
            return super()._absent(name)
        if self.keep:
            return f"Tap({self.extra_repr()}) has kept no value yet. Call the model first."
        return f"Tap({self.extra_repr()}) keeps no value. Use Tap(keep=True), or: with tap.watching() as seen: ..."

    def extra_repr(self) -> str:
        """The label and what is not the default."""
        parts = [repr(self.label)] if self.label else []
        return ", ".join(parts + ["keep=True"] * self.keep + ["detach=False"] * (not self.detach))
