"""What a branch says of itself: features in and out, strides, spatial dimensions. Every call proves it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from identikit.errors import BlockError

Stride = int | tuple[int, ...]

_IN = ("in_features", "in_channels", "num_features", "num_channels", "normalized_shape")
_OUT = ("out_features", "out_channels", "num_features", "num_channels", "normalized_shape")


@dataclass(frozen=True)
class Sizes:
    """What could be read; None where a module does not say."""

    in_features: int | None
    out_features: int | None
    stride: Stride
    dims: int | None


def sizes_of(branch: nn.Module) -> Sizes:
    """The sizes of `branch`: of the layers of an `nn.Sequential`, or what a module of another class says of itself."""
    chain = list(layers_of(branch))
    dims = next((len(module.kernel_size) for module in branch.modules() if isinstance(module, _ConvNd)), None)
    return Sizes(_first(chain, _IN), _first(reversed(chain), _OUT), _stride(chain), dims)


def layers_of(branch: nn.Module) -> Iterator[nn.Module]:
    """The layers in the order in which they run; only an `nn.Sequential` says it."""
    if type(branch) is nn.Sequential:
        for child in branch:
            yield from layers_of(child)
    else:
        yield branch


def _first(chain: Iterable[nn.Module], names: tuple[str, ...]) -> int | None:
    """The size of the first module that has one. One with parameters and no size says that it cannot be read."""
    for module in chain:
        for name in names:
            value = getattr(module, name, None)
            if name == "normalized_shape" and isinstance(value, tuple):
                value = value[-1]
            if isinstance(value, int) and value > 0:  # a lazy module says 0
                return value
        if next(module.parameters(), None) is not None:
            return None
    return None


def _stride(chain: Iterable[nn.Module]) -> Stride:
    """The product of the strides of convolutions and pools; what says nothing counts as 1."""
    total: Stride = 1
    for module in chain:
        stride = getattr(module, "stride", None)
        if stride is not None and not isinstance(module, _ConvTransposeNd):
            total = _times(total, stride)
    return _plain(total)


def _times(left: Stride, right: Stride) -> Stride:
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    width = len(left) if isinstance(left, tuple) else len(right) if isinstance(right, tuple) else 1
    lefts = left if isinstance(left, tuple) else (left,) * width
    rights = right if isinstance(right, tuple) else (right,) * width
    return tuple(a * b for a, b in zip(lefts, rights, strict=True))


def _plain(stride: Stride) -> Stride:
    """One number where all directions agree."""
    return stride[0] if isinstance(stride, tuple) and len(set(stride)) == 1 else stride


def strides(stride: Stride, dims: int) -> tuple[int, ...]:
    """The stride in each of `dims` directions."""
    return (stride,) * dims if isinstance(stride, int) else tuple(stride)


def check_dims(owner: str, dims: int, stride: Stride) -> None:
    """Raise BlockError unless there are 0 to 3 spatial dimensions, each with a stride of at least 1."""
    if dims not in (0, 1, 2, 3):
        raise BlockError(
            f"{owner}: dims={dims!r}; there are 0 (features last), 1, 2 or 3 spatial dimensions. "
            "Use dims=2 for images [N, C, H, W]."
        )
    if dims == 0 and is_strided(stride):
        raise BlockError(f"{owner}: stride={stride} needs a spatial dimension to stride over. Say dims=1, 2 or 3.")
    if dims and len(strides(stride, dims)) != dims:
        raise BlockError(
            f"{owner}: stride={stride} has {len(strides(stride, dims))} numbers for dims={dims}. Give one number."
        )
    if min(strides(stride, 1)) < 1:
        raise BlockError(f"{owner}: stride={stride}; a stride is at least 1. Use stride=1 to keep every position.")


def is_strided(stride: Stride) -> bool:
    """Whether it skips anything."""
    return math.prod(strides(stride, 1)) != 1
