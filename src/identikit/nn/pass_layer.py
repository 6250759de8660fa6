"""The pass layer: hands its input on, normalised, scaled, shifted or clipped; the identity until told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from identikit.errors import BlockError
from identikit.nn.clipping import CLIPS, Clamp, check_clamp
from identikit.nn.robust_scale import RobustScale
from identikit.nn.shape_text import dtype_text, kind_text, shape_text

Factor = float | torch.Tensor


def pass_layer(
    x: torch.Tensor,
    *,
    scale: Factor | None = None,
    shift: Factor | None = None,
    clamp: Clamp | None = None,
    clip: str = "hard",
) -> torch.Tensor:
    """`clamp(x * scale + shift)`; what is not given is left out, and with nothing given `x` itself comes back.

    Args:
        x: any shape.
        scale: a number, or a tensor that broadcasts to the shape of `x` (one value a feature: `[features]`).
        shift: likewise.
        clamp: `(low, high)`; None on one side leaves that side open.
        clip: how `clamp` is kept, a key of `identikit.nn.clipping.CLIPS`: "hard" (gradient zero outside),
            "straight_through" (the gradient passes as if nothing was clipped: Bengio 2013, arXiv 1308.3432) or "smooth"
            (a curve that never leaves the bounds: RealMLP, Holzmüller 2024, arXiv 2407.04491).

    Returns:
        The shape and dtype of `x`.

    Raises:
        BlockError: if the result would have another shape or dtype than `x`, or the bounds cannot be kept.

    Example:
        >>> pass_layer(torch.tensor([-2.0, 3.0]), scale=2, clamp=(-1, None))
        tensor([-1.,  6.])
    """
    check_clamp(clamp, clip)
    return _passed(x, x, scale, shift, clamp, clip)


def _passed(x: Any, y: Any, scale: Factor | None, shift: Factor | None, clamp: Clamp | None, clip: str) -> torch.Tensor:
    """`y` on its way out, in the shape and dtype of `x`; computed in the wider dtype, as under autocast."""
    if scale is not None:
        y = y * scale
    if shift is not None:
        y = y + shift
    if clamp is not None:
        y = CLIPS[clip](y, *clamp)
    if isinstance(x, fx.Proxy):  # a graph being traced by fx has neither shapes nor dtypes
        return y  # type: ignore[no-any-return]
    if not isinstance(y, torch.Tensor) or y.shape != x.shape:
        raise BlockError(_refusal(x, y))
    if y.dtype != x.dtype and not (x.is_floating_point() and y.is_floating_point()):
        raise BlockError(_refusal(x, y))
    return y.to(x.dtype)


class Pass(nn.Module):
    """Hand the input on: `clamp(norm(x) * scale + shift)`, and exactly the identity by default.

    Args:
        scale: a number, or one value a feature: a tensor that broadcasts to the input's shape.
        shift: likewise.
        clamp: `(low, high)`; None on one side leaves that side open.
        clip: how `clamp` is kept: "hard", "straight_through" or "smooth", as in `pass_layer`.
        norm: a module or a callable that keeps the shape, applied first.
        learnable: make scale and shift parameters; they start at what is given, or at 1 and 0.

    Shape:
        Any in, the same out; the dtype stays.

    Raises:
        BlockError: if scale, shift or norm would change the shape or dtype of what passes, or `clamp` is no interval.

    Example:
        >>> Pass(scale=0.5, clamp=(-1, 1))(torch.tensor([-4.0, 1.0]))
        tensor([-1.0000,  0.5000])
    """

    scale: Factor | None
    shift: Factor | None

    def __init__(
        self,
        *,
        scale: Factor | None = None,
        shift: Factor | None = None,
        clamp: Clamp | None = None,
        clip: str = "hard",
        norm: nn.Module | Callable[[torch.Tensor], torch.Tensor] | None = None,
        learnable: bool = False,
    ) -> None:
        super().__init__()
        check_clamp(clamp, clip)
        for name, value in (("scale", scale), ("shift", shift)):
            if isinstance(value, nn.Parameter):
                raise BlockError(f"Pass: {name}= is a parameter, which would not be trained. Use learnable=True.")
        self.clamp = clamp
        self.clip = clip
        self.norm = norm
        self.learnable = learnable
        self._first = (
            (1.0 if scale is None else scale, 0.0 if shift is None else shift) if learnable else (scale, shift)
        )
        for name, value in zip(("scale", "shift"), self._first, strict=True):
            if learnable:
                setattr(self, name, nn.Parameter(torch.as_tensor(value, dtype=torch.get_default_dtype()).clone()))
            elif isinstance(value, torch.Tensor):
                self.register_buffer(name, value.detach().clone())
            else:
                setattr(self, name, value)

    @classmethod
    def robust(cls, data: torch.Tensor, *, limit: float = 3.0) -> Pass:
        """Robust scaling with smooth clipping, as in RealMLP (arXiv 2407.04491).

        Each column less its median, over the distance of its quartiles, bent to lie within ±`limit`.

        Args:
            data: `[rows, features]`, what the columns are measured on.
            limit: no value that passes is further from zero.
        """
        return cls(norm=RobustScale.fit(data), clamp=(-limit, limit), clip="smooth")

    def reset_parameters(self) -> None:
        """Scale and shift as they were given."""
        if self.learnable:
            with torch.no_grad():
                for name, value in zip(("scale", "shift"), self._first, strict=True):
                    self.get_parameter(name).copy_(torch.as_tensor(value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What passes, in the shape and dtype in which it came."""
        y = x if self.norm is None else self.norm(x)
        return _passed(x, y, self.scale, self.shift, self.clamp, self.clip)

    def extra_repr(self) -> str:
        """Only what is not the identity."""
        said = {"scale": _brief(self.scale), "shift": _brief(self.shift), "clamp": self.clamp}
        parts = [f"{name}={value}" for name, value in said.items() if value is not None]
        if self.clamp is not None and self.clip != "hard":
            parts.append(f'clip="{self.clip}"')
        return ", ".join([*parts, "learnable=True"] if self.learnable else parts)


def _brief(factor: Factor | None) -> object:
    if isinstance(factor, torch.Tensor):
        single = factor.ndim == 0 and not factor.is_meta
        return f"{factor.item():g}" if single else f"[{'x'.join(map(str, factor.shape))}]"
    return factor


def _refusal(x: torch.Tensor, y: Any) -> str:
    if not isinstance(y, torch.Tensor):
        return f"Pass: the norm returned {kind_text(y)}, not a tensor. Give a norm that returns what passes."
    if x.shape == y.shape:
        return (
            f"Pass: scale, shift or clamp would turn {dtype_text(x)} into {dtype_text(y)}; a pass layer casts nothing. "
            f"Cast before it: x.to({y.dtype})."
        )
    return (
        f"Pass: {shape_text(x)} came in and {shape_text(y)} would go out; a pass layer changes no shape. "
        f"Give scale and shift as numbers or as one value for each of the {x.shape[-1] if x.ndim else 1} features, "
        "and a norm that keeps the shape."
    )
