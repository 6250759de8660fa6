"""The shortcuts of the ResNet paper: identity or zero padding (option A), projection (options B and C)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from identikit.errors import BlockError
from identikit.nn.counts import check_counts
from identikit.nn.one_of import one_of
from identikit.nn.shape_text import shape_text
from identikit.nn.sizes import Stride, check_dims, is_strided, strides

SIDES = ("both", "front", "behind")
DOWNS = ("subsample", "average")
_PREACTIVATED = "_takes_preactivated"
_CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_POOLS: tuple[Callable[..., torch.Tensor], ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


class PadShortcut(nn.Module):
    """Option A of the ResNet paper: the input itself, with zeros for the features that are new. No parameters.

    Which side the zeros are on matters to trained weights: the public CIFAR-10 weights of ResNet-20 name 80.4 % of
    1,000 images with zeros on both sides, 15.0 % with all of them behind, 17.6 % in front (benchmarks/cifar.py).

    Args:
        in_features, out_features: how many come and go.
        stride: down-sampling in each spatial dimension.
        dims: trailing spatial dimensions: 0 for features last, 1 for `[N, C, L]`, 2 for images, 3 for volumes.
        side: where the zeros go: "both" (an odd remainder behind), "front" or "behind".
        down: "subsample" takes every `stride`-th position, as the paper does; "average" the mean of each window, the
            last one smaller where the size is odd, so that both give the same shape.

    Shape:
        `[..., in_features, *spatial]` to `[..., out_features, *ceil(spatial / stride)]`.

    Raises:
        BlockError: if there are fewer features after than before, or the input has other than `in_features`.

    Source: He et al. 2015, arXiv 1512.03385, section 3.3.

    Example:
        >>> PadShortcut(1, 4)(torch.ones(1, 1))
        tensor([[0., 1., 0., 0.]])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        stride: Stride = 1,
        dims: int = 0,
        side: str = "both",
        down: str = "subsample",
    ) -> None:
        super().__init__()
        one_of("PadShortcut", "side", side, SIDES)
        one_of("PadShortcut", "down", down, DOWNS)
        check_counts("PadShortcut", in_features=in_features, out_features=out_features)
        check_dims("PadShortcut", dims, stride)
        if out_features < in_features:
            raise BlockError(
                f'PadShortcut: zeros cannot turn {in_features} features into {out_features}. Use shortcut="project".'
            )
        self.in_features, self.out_features = in_features, out_features
        self.stride, self.dims, self.side, self.down = stride, dims, side, down
        new = out_features - in_features
        front = {"both": new // 2, "front": new, "behind": 0}[side]
        # functional.pad counts from the last dimension backwards; the features lie before the spatial ones
        self._pad = (0, 0) * dims + (front, new - front)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input, thinned out and padded."""
        fits = not isinstance(x, torch.Tensor) or (x.ndim > self.dims and x.shape[-1 - self.dims] == self.in_features)
        if not fits:  # a proxy of torch.fx has no shape to compare
            raise BlockError(
                f"PadShortcut: made for {self.in_features} features before {self.dims} spatial dimensions, called with "
                f"{shape_text(x)}. Give in_features= and dims= as the input has them."
            )
        if is_strided(self.stride):
            x = self._thinned(x)
        return functional.pad(x, self._pad)

    def _thinned(self, x: torch.Tensor) -> torch.Tensor:
        steps = strides(self.stride, self.dims)
        if self.down == "average":
            return self._averaged(x, steps)
        every: list[Any] = [slice(None, None, step) for step in steps]
        return x[(..., *every)]

    def _averaged(self, x: torch.Tensor, steps: tuple[int, ...]) -> torch.Tensor:
        """The mean of each window; pools take one dimension before the features, and windows that fit."""
        fitting = tuple(min(step, size) for step, size in zip(steps, x.shape[-self.dims :], strict=True))
        rows = x.reshape(-1, *x.shape[-1 - self.dims :])
        pooled = _POOLS[self.dims - 1](rows, fitting, steps, ceil_mode=True, count_include_pad=False)
        return pooled.reshape(*x.shape[: -1 - self.dims], *pooled.shape[1:])

    def extra_repr(self) -> str:
        """The sizes, the side and what is not the default."""
        stride = f", stride={self.stride}, down={self.down}" if is_strided(self.stride) else ""
        return f"{self.in_features}, {self.out_features}, side={self.side}, dims={self.dims}{stride}"


def projection(
    in_features: int,
    out_features: int,
    *,
    stride: Stride = 1,
    dims: int = 0,
    norm: bool = True,
    bias: bool | None = None,
) -> nn.Module:
    """A learned shortcut: options B and C of the ResNet paper (arXiv 1512.03385).

    Features last: `nn.Linear`. Else a convolution of size 1 without bias, then batch norm; with `norm=False` the
    convolution alone.

    Args:
        in_features, out_features, stride, dims: as in `PadShortcut`.
        norm: batch norm behind a convolution.
        bias: of the convolution or linear layer; by default wherever no norm follows.

    Raises:
        BlockError: if a stride is asked for where there is nothing to stride over.

    Example:
        >>> projection(2, 3, stride=2, dims=1)(torch.ones(4, 2, 8)).shape
        torch.Size([4, 3, 4])
    """
    check_counts("projection", in_features=in_features, out_features=out_features)
    check_dims("projection", dims, stride)
    normed = norm and dims > 0
    bias = not normed if bias is None else bias
    if dims == 0:
        return nn.Linear(in_features, out_features, bias=bias)
    convolution = _CONVOLUTIONS[dims - 1](in_features, out_features, 1, stride=stride, bias=bias)
    return nn.Sequential(convolution, _NORMS[dims - 1](out_features)) if normed else convolution


def shortcut_projection(
    in_features: int, out_features: int, stride: Stride, dims: int, *, preactivated: bool
) -> nn.Module:
    """The projection of a residual block. After a preactivation it is bare (He et al. 2016, arXiv 1603.05027)."""
    made = projection(in_features, out_features, stride=stride, dims=dims, norm=not preactivated, bias=dims == 0)
    vars(made)[_PREACTIVATED] = preactivated
    return made


def takes_preactivated(shortcut: nn.Module) -> bool:
    """Whether it was made to take what comes out of the preactivation; any other takes the block's input."""
    return bool(vars(shortcut).get(_PREACTIVATED, False))


def is_unheard_identity(shortcut: nn.Module | None) -> bool:
    """Whether it is torch's identity and nobody listens: then a call of it gives its input and costs a microsecond."""
    if type(shortcut) is not nn.Identity or "forward" in vars(shortcut):
        return False
    return not (
        shortcut._forward_hooks
        or shortcut._forward_pre_hooks
        or shortcut._backward_hooks
        or shortcut._backward_pre_hooks
    )


def projection_parameters(in_features: int, out_features: int, dims: int, *, preactivated: bool = False) -> int:
    """How many parameters `shortcut_projection` has."""
    beside = out_features if dims == 0 else 0 if preactivated else 2 * out_features
    return in_features * out_features + beside
