"""What stands for a layer that is replaced on request: its mean, a parameter-free shortcut, a fitted linear map.

Each is a module from the layer's input stream to its output. While the layer is only bypassed, the edited forward holds
it and nothing is registered: keys and parameters of the model stay. Once the layer is removed it is the stand-in's own
submodule, moves with the model, is trained and saved. Tensors are cast to the stream's device and dtype at the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional

from identikit.nn.shortcuts import PadShortcut
from identikit.replacing.layout import FIRST, LAST, Layout

_CONVOLVE: tuple[Callable[..., torch.Tensor], ...] = (functional.conv1d, functional.conv2d, functional.conv3d)


class Replacement(nn.Module):
    """A map from a layer's input stream to its output. `tensors` are what a plan keeps of it, by name."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Its own parameters and buffers by name, as they are now."""
        return dict(self.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The sizes, and the stride where there is one."""
        strided = f", stride={self.layout.stride}" if self.layout.strided else ""
        return f"{self.layout.in_features}, {self.layout.out_features}{strided}"


class Mean(Replacement):
    """Mean ablation: the same vector of features for every example and position."""

    value: torch.Tensor

    def __init__(self, layout: Layout, tensors: Mapping[str, torch.Tensor]) -> None:
        super().__init__(layout)
        self.register_buffer("value", _own(tensors["value"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = self.layout.output_shape(x.shape)
        wide = [1] * len(shape)
        wide[self.layout.axis] = -1
        return self.value.to(x).reshape(wide).expand(shape).clone()  # a copy: later layers may write into it


class Shortcut(Replacement):
    """Option A of the ResNet paper (He et al. 2015, arXiv 1512.03385): thinned out, zeros for the new features."""

    def __init__(self, layout: Layout, *, side: str = "both", down: str = "subsample") -> None:
        super().__init__(layout)
        dims = _dims(layout)
        sizes = (layout.in_features, layout.out_features)
        self.shortcut = PadShortcut(*sizes, stride=layout.strides if dims else 1, dims=dims, side=side, down=down)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _features_first(self.shortcut, x, self.layout)


class Adapter(Replacement):
    """A linear map of the features at each position that is left: a 1x1 convolution where they come first."""

    def __init__(self, layout: Layout, tensors: Mapping[str, torch.Tensor], *, down: str = "subsample") -> None:
        super().__init__(layout)
        self.thin = thinning(layout, down)
        self.weight = nn.Parameter(_own(tensors["weight"]), requires_grad=False)
        self.bias = nn.Parameter(_own(tensors["bias"]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias, dims = self.weight.to(x), self.bias.to(x), len(self.layout.strides)
        if self.thin is not None:
            x = _features_first(self.thin, x, self.layout)
        if self.layout.axis == LAST:
            return functional.linear(x, weight, bias)
        if dims > len(_CONVOLVE):  # no convolution has so many: they are lined up for one that has one
            lined_up = functional.conv1d(x.flatten(2), weight[..., None], bias)
            return lined_up.reshape(*lined_up.shape[:2], *x.shape[2:])
        return _CONVOLVE[dims - 1](x, weight.reshape(*weight.shape, *[1] * dims), bias)


def _own(value: torch.Tensor) -> torch.Tensor:
    """A copy that can be trained, though the layer be replaced in inference mode."""
    with torch.inference_mode(False):
        return value.detach().clone()


def thinning(layout: Layout, down: str) -> PadShortcut | None:
    """What leaves every `stride`-th position, or the mean of each window; None where all positions stay."""
    if not layout.strided:
        return None
    features = layout.in_features
    return PadShortcut(features, features, stride=layout.strides, dims=_dims(layout), down=down)


def thinned(thin: PadShortcut | None, x: torch.Tensor, layout: Layout) -> torch.Tensor:
    """The positions of `x` that are left."""
    return x if thin is None else _features_first(thin, x, layout)


def rows(x: torch.Tensor, axis: int) -> torch.Tensor:
    """`x` as one row of features a position: [positions, features]."""
    return x.movedim(axis, -1).reshape(-1, x.shape[axis])


def _dims(layout: Layout) -> int:
    """The spatial dimensions that a shortcut sees behind the features; features last and no stride: none."""
    return len(layout.strides) if layout.axis == FIRST or layout.strided else 0


def _features_first(shortcut: nn.Module, x: torch.Tensor, layout: Layout) -> torch.Tensor:
    """A shortcut sees the features before their positions, whichever way they lie in `x`."""
    if layout.axis == FIRST or not layout.strided:
        made: torch.Tensor = shortcut(x)
        return made
    moved: torch.Tensor = shortcut(x.movedim(-1, 1))
    return moved.movedim(1, -1).contiguous()
