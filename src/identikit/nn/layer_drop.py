"""LayerDrop: a stack whose layers are left out at random while training, so that it can lose some of them later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.attach import attach
from identikit.nn.captured import is_captured
from identikit.nn.dtypes import autocast_is_on
from identikit.nn.shape_text import dtype_text, shape_text
from identikit.nn.stochastic_depth import check_probability


class LayerDrop(nn.Module):
    """Run layers one after the other; while training, leave each one out with a probability of its own.

    A layer left out hands its input on and is not run at all. Its parameters still take part in the graph with a
    gradient of zero, so DistributedDataParallel works without `find_unused_parameters`, and the processes need not
    leave out the same layers. In evaluation every layer runs; drop layers for good with `identikit.prune`.

    Under torch.compile, torch.export and tracing, where no draw can decide what runs, every layer runs and the draw
    selects: the same result in distribution and the same gradients, with no arithmetic saved. Two things a layer that
    is left out then does all the same: it moves the statistics of its batch norms, and where its own gradient is not
    finite, it makes NaN. The plain call draws on the CPU and never waits for a GPU; `torch.func.vmap` needs
    randomness="same" for it.

    Args:
        layers: each keeps the shape and the dtype of its first argument and returns one tensor. What autocast makes of
            the dtype is cast back, so that the draw does not decide it.
        drop: the probability of being left out, 0 to 1: one for all, or one a layer (`linear_schedule(12, 0.2)`).

    Shape:
        As the layers; other arguments are given to each of them.

    Raises:
        BlockError: if a probability is out of range, their number is not that of the layers, or a layer changes the
            shape or the dtype.

    Source: Fan et al. 2019, arXiv 1909.11556.

    Example:
        >>> stack = LayerDrop([nn.Linear(2, 2), nn.Linear(2, 2)], drop=1.0)
        >>> x = torch.ones(1, 2)
        >>> torch.equal(stack(x), x), torch.equal(stack.eval()(x), x)
        (True, False)
    """

    def __init__(self, layers: Iterable[nn.Module], drop: float | Sequence[float]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        drops = drop if isinstance(drop, list | tuple) else [drop] * len(self.layers)
        self.drop = tuple(check_probability("LayerDrop", each) for each in drops)
        if len(self.drop) != len(self.layers):
            raise BlockError(
                f"LayerDrop: {len(self.drop)} probabilities for {len(self.layers)} layers. Give one for all, or one "
                f"each: linear_schedule({len(self.layers)}, {max(self.drop, default=0.1):g})."
            )

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`x` through the layers, or through those of them that were drawn."""
        if not self.training:
            for number in range(len(self.layers)):
                x = self._run(number, x, args, kwargs)
        elif is_captured(x):
            draws = x.new_empty(len(self.layers), dtype=torch.float32).uniform_()
            for number, drop in enumerate(self.drop):
                x = torch.where(draws[number] < drop, x, self._run(number, x, args, kwargs))
        else:
            for number, draw in enumerate(torch.rand(len(self.layers)).tolist()):
                left_out = draw < self.drop[number]
                x = attach(x, self.layers[number]) if left_out else self._run(number, x, args, kwargs)
        return x

    def _run(self, number: int, x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """One layer, its output compared with its input: what changes the shape could not be left out."""
        y: torch.Tensor = self.layers[number](x, *args, **kwargs)
        if not isinstance(x, torch.Tensor):  # a graph being traced by fx has no shapes to compare
            return y
        if not isinstance(y, torch.Tensor) or y.shape != x.shape:
            self._refuse(number, shape_text(y), shape_text(x))
        if y.dtype != x.dtype and not autocast_is_on(x):
            self._refuse(number, dtype_text(y), dtype_text(x))
        return y.to(x.dtype)

    def _refuse(self, number: int, makes: str, given: str) -> NoReturn:
        kind = type(self.layers[number]).__name__
        raise BlockError(
            f"LayerDrop: layer {number} ({kind}) makes {makes} out of {given}, so it cannot be left out. Keep it "
            "outside the stack, or give layers that return one tensor of their input's shape and dtype."
        )

    def extra_repr(self) -> str:
        """The probability, or the first and the last of them."""
        drops = sorted(set(self.drop))
        return f"drop={drops[0]:g}" if len(drops) == 1 else f"drop={self.drop[0]:g}..{self.drop[-1]:g}" if drops else ""
