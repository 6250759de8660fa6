"""A layer that is applied or not: fixed, call by call, or sample by sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from identikit.errors import BlockError
from identikit.nn.attach import attach
from identikit.nn.captured import is_captured
from identikit.nn.identity import Identity
from identikit.nn.shape_text import shape_text


class Switch(nn.Module):
    """Apply `layer`, or let the stream pass.

    Who decides: `.enabled`, set at any time, for every call that says nothing; `on=True` or `on=False` for one call;
    `on=` with a boolean tensor for each sample (first dimension) of one call. A call that is off runs `off`, which
    returns the stream: the first argument that is or holds a tensor.

    A *masked* call runs the layer on the samples that are on, and only on those, so that batch norm sees no others and
    their arithmetic is saved. Samples are taken from every positional tensor. A keyword goes in whole: it is for what
    all samples share, not for a tensor with a row for each. Where no sample is on, the layer's parameters stay in the
    graph with a gradient of zero.
    Under torch.compile, torch.export and tracing a masked call runs layer and `off` on as many samples as there are and
    selects: to the layer, a sample that is off is a copy of one that is on (where none is on, of the last sample; its
    gradient must be finite). It refuses a batch norm that would use the batch's statistics.

    Args:
        layer: any module; its parameters keep their names under `layer.`.
        enabled: whether a call that says nothing is on.
        off: what runs instead; `Identity(returns=(stream, None))` where the layer returns a tuple.

    Shape:
        On: the layer's. Off: what `off` returns. Masked: layer and `off` must return one tensor [N, ...] of one shape;
        where their dtypes differ (autocast), the wider one.

    Raises:
        BlockError: if `enabled` is no bool, `on` neither bool nor boolean tensor, a mask does not fit the samples, or
            layer and `off` return different shapes in a masked call.

    Note:
        Without a mask, a call that is off leaves the parameters out of the graph (their gradient stays None). Where
        processes of one DistributedDataParallel decide differently, use `LayerDrop`, or a mask.

    Example:
        >>> layer = Switch(nn.Hardtanh(0, 1))
        >>> x = torch.tensor([[5.0], [5.0]])
        >>> layer(x, on=torch.tensor([True, False]))
        tensor([[1.],
                [5.]])
    """

    def __init__(self, layer: nn.Module, *, enabled: bool = True, off: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.off = Identity() if off is None else off
        self.enabled = enabled
        self._enabled()

    def forward(self, *args: Any, on: bool | torch.Tensor | None = None, **kwargs: Any) -> Any:
        """The layer's output, or the stream, or for each sample the one or the other."""
        on = self._enabled() if on is None else on
        if isinstance(on, torch.Tensor):
            return self._masked(on, args, kwargs)
        if not isinstance(on, bool):
            raise BlockError(f"Switch: on= is {on!r}, not True, False or a boolean tensor with one value a sample.")
        return self.layer(*args, **kwargs) if on else self.off(*args, **kwargs)

    def _enabled(self) -> bool:
        if not isinstance(self.enabled, bool):
            raise BlockError(f"Switch: enabled= is {self.enabled!r}, not True or False. A mask goes to a call: on=.")
        return self.enabled

    def _masked(self, on: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        _check_mask(on, args)
        if is_captured(on, *args):
            return self._selected(on, args, kwargs)
        if not on.any():
            return attach(_tensor(self.off, args, kwargs), self.layer)
        if on.all():
            yes = _tensor(self.layer, args, kwargs)
            # An identity costs nothing: what it would return is compared although nobody needs it.
            no = _tensor(self.off, args, kwargs) if isinstance(self.off, nn.Identity) else yes
            return yes.to(self._dtype(yes, no))
        yes = _tensor(self.layer, _rows(args, on), kwargs)
        no = _tensor(self.off, _rows(args, ~on), kwargs)
        out = yes.new_empty((on.shape[0], *yes.shape[1:]), dtype=self._dtype(yes, no))
        out[on] = yes.to(out.dtype)
        out[~on] = no.to(out.dtype)
        return out

    def _selected(self, on: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """Both ways for as many samples as there are: a graph cannot take a number that only the mask knows."""
        for module in self.modules():
            if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
                raise BlockError(
                    "Switch: under compile and export a masked call runs all samples, and the statistics of "
                    f"{type(module).__name__} would count those that are off. Call .eval() first, or use another norm."
                )
        yes = _tensor(self.layer, _rows(args, _chosen(on)), kwargs)
        no = _tensor(self.off, _rows(args, _chosen(~on)), kwargs)
        dtype = self._dtype(yes, no)
        return torch.where(on.reshape(-1, *(1,) * (yes.ndim - 1)), yes.to(dtype), no.to(dtype))

    def _dtype(self, yes: torch.Tensor, no: torch.Tensor) -> torch.dtype:
        """The dtype that holds both; BlockError unless a sample has one shape in both."""
        if yes.shape[1:] != no.shape[1:]:
            raise BlockError(
                f"Switch: in a masked call {type(self.layer).__name__} returned {shape_text(yes)} and "
                f"{type(self.off).__name__} {shape_text(no)}, which differ behind the samples. Give off= a module that "
                "makes them equal."
            )
        return torch.promote_types(yes.dtype, no.dtype)

    def extra_repr(self) -> str:
        """Whether a call that says nothing is on."""
        return f"enabled={self.enabled}"


def _check_mask(on: torch.Tensor, args: tuple[Any, ...]) -> None:
    """One boolean a sample, and the samples in the first dimension of every positional tensor."""
    if on.dtype != torch.bool or on.ndim != 1:
        kind = str(on.dtype).removeprefix("torch.")
        raise BlockError(
            f"Switch: on= is {kind} of shape {list(on.shape)}, not one boolean a sample. "
            "Compare first: on=(score > 0.5)."
        )
    for position, value in enumerate(args):
        if isinstance(value, tuple | list | dict) or (position == 0 and not isinstance(value, torch.Tensor)):
            raise BlockError(
                f"Switch: argument {position} of a masked call is {shape_text(value)}, which holds no samples to "
                "choose from. Give tensors, and as keywords what all samples share."
            )
        if isinstance(value, torch.Tensor) and (value.ndim == 0 or value.shape[0] != on.shape[0]):
            raise BlockError(
                f"Switch: on= has {on.shape[0]} values, but argument {position} of the call is {shape_text(value)}. "
                "Give one value a sample, and as keywords what all samples share."
            )
    if not args:
        raise BlockError("Switch: a masked call without a positional tensor has no samples. Write switch(x, on=mask).")


def _chosen(on: torch.Tensor) -> torch.Tensor:
    """For each sample the number of one that is on: itself, or the first (the last of all where none is).

    Selecting alone would not do: zero times a gradient that is not finite is NaN, for the sample and for the weights.
    """
    first = (on.cumsum(0) == 0).sum().clamp(max=on.shape[0] - 1)
    return torch.where(on, torch.arange(on.shape[0], device=on.device), first)


def _rows(args: tuple[Any, ...], rows: torch.Tensor) -> tuple[Any, ...]:
    return tuple(each[rows] if isinstance(each, torch.Tensor) else each for each in args)


def _tensor(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """What the module returns, which must be one tensor with a row for each sample."""
    output = module(*args, **kwargs)
    if not isinstance(output, torch.Tensor) or output.shape[:1] != args[0].shape[:1]:
        raise BlockError(
            f"Switch: in a masked call {type(module).__name__} returned {shape_text(output)} for {args[0].shape[0]} "
            "samples. Wrap it in a module that returns one tensor with a row for each sample."
        )
    return output
