"""Gates at the end of a residual branch: one learned factor (ReZero, SkipInit) or one a feature (LayerScale)."""

from __future__ import annotations

import math

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.shape_text import dtype_text, shape_text
from identikit.nn.sizes import check_dims


class SkipInit(nn.Module):
    """Multiply by one learned number, so that a residual block starts as the identity (or near it).

    It goes last in the branch: `Residual(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), SkipInit()))`.
    Keep `alpha` out of weight decay, as one does with biases.

    Args:
        init: the first value of `alpha`: 0, or at most `depth ** -0.5` in a network of `depth` residual blocks.
        device, dtype: of the parameter.

    Shape:
        Any in, the same out; the dtype stays. `alpha` has shape [1], because sharded training takes no parameter
        without a dimension.

    Raises:
        BlockError: if `init` is not a finite number, or the input holds whole numbers or bools.

    Source: De and Smith 2020, arXiv 2002.10444.

    Example:
        >>> SkipInit(0.5)(torch.ones(1, 2))
        tensor([[0.5000, 0.5000]], grad_fn=<MulBackward0>)
    """

    def __init__(
        self, init: float = 0.0, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.init = _finite(type(self).__name__, init)
        self.alpha = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """`alpha` at its first value."""
        nn.init.constant_(self.alpha, self.init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`alpha * x`."""
        _check_dtype(type(self).__name__, x)
        return x * self.alpha.reshape(())  # a factor without a dimension changes neither the shape nor the dtype of x

    def extra_repr(self) -> str:
        """Where `alpha` starts."""
        return f"init={self.init:g}"


class ReZero(SkipInit):
    """Multiply by one learned number that starts at zero: `SkipInit(0)`, from the paper that drops norms altogether.

    The block is the identity at first, and every layer still learns: the gradient reaches `alpha` at once, and the
    branch as soon as `alpha` has left zero. Place, shape and weight decay as with `SkipInit`.

    Args:
        device, dtype: of the parameter.

    Source: Bachlechner et al. 2020, arXiv 2003.04887.

    Example:
        >>> ReZero()(torch.ones(1, 2))
        tensor([[0., 0.]], grad_fn=<MulBackward0>)
    """

    def __init__(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__(0.0, device=device, dtype=dtype)

    def extra_repr(self) -> str:
        """Nothing: it always starts at zero."""
        return ""


class LayerScale(nn.Module):
    """Multiply each feature by a learned number that starts small.

    It goes last in the branch, like `SkipInit`. The parameter is called `gamma`, as in timm, whose weights load here.

    Args:
        features: how many.
        init: the first value of `gamma`. The paper takes 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 above.
        dims: trailing spatial dimensions: 0 for features last, 1 for [N, C, L], 2 for images, 3 for volumes.
        device, dtype: of the parameter.

    Shape:
        [..., features, *spatial] in, the same out; the dtype stays.

    Raises:
        BlockError: if an argument makes no sense, the input has other than `features` in dimension -1 - dims, or it
            holds whole numbers or bools.

    Source: Touvron et al. 2021, arXiv 2103.17239.

    Example:
        >>> LayerScale(2, init=0.5)(torch.ones(1, 2))
        tensor([[0.5000, 0.5000]], grad_fn=<MulBackward0>)
    """

    def __init__(
        self,
        features: int,
        *,
        init: float = 1e-5,
        dims: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_dims("LayerScale", dims, 1)
        if features < 1:
            raise BlockError(f"LayerScale: features={features}. Give one feature or more.")
        self.features, self.dims = features, dims
        self.init = _finite("LayerScale", init)
        self.gamma = nn.Parameter(torch.empty(features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every `gamma` at its first value."""
        nn.init.constant_(self.gamma, self.init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`gamma * x`, feature by feature."""
        if isinstance(x, torch.Tensor):  # torch.fx traces with proxies, which have no sizes
            self._check(x)
        _check_dtype("LayerScale", x)
        # Multiplied in the wider dtype: 1e-6 in float16 would be half gone.
        return (x * self.gamma.reshape(-1, *(1,) * self.dims)).to(x.dtype)

    def _check(self, x: torch.Tensor) -> None:
        if x.ndim <= self.dims or x.shape[-1 - self.dims] != self.features:
            raise BlockError(self._refusal(x))

    def _refusal(self, x: torch.Tensor) -> str:
        made = (
            f"LayerScale: made for {self.features} features in dimension {-1 - self.dims}, called with {shape_text(x)}."
        )
        for dims in range(min(x.ndim - 1, 4)):  # the first dimension may well hold the samples
            if x.shape[-1 - dims] == self.features:
                there = f"Dimension {-1 - dims} has {self.features}"
                return f"{made} {there}: use LayerScale({self.features}, dims={dims})."
        if x.ndim <= self.dims:
            return f"{made} Give an input with more than {self.dims} dimensions, or a smaller dims=."
        if self.features in x.shape:
            return f"{made} Bring the features there, or say with dims= how many spatial dimensions stand behind them."
        width = x.shape[-1 - self.dims]
        return f"{made} Use LayerScale({width}{f', dims={self.dims}' if self.dims else ''})."

    def extra_repr(self) -> str:
        """The sizes and where `gamma` starts."""
        return f"{self.features}, init={self.init:g}{f', dims={self.dims}' if self.dims else ''}"


def _check_dtype(owner: str, x: torch.Tensor) -> None:
    """BlockError for whole numbers and bools: a learned factor would promote them, or be rounded away."""
    if isinstance(x, torch.Tensor) and not (x.is_floating_point() or x.is_complex()):
        raise BlockError(f"{owner}: called with {dtype_text(x)}, which no learned factor fits. Use x.float().")


def _finite(owner: str, init: float) -> float:
    if not math.isfinite(init):
        raise BlockError(f"{owner}: init={init} is not a finite number. Give 0, or a small one such as 1e-5.")
    return init
