"""What a branch says of itself: features in and out, strides, spatial dimensions. Every call proves it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from identikit.errors import BlockError

Stride = int | tuple[int, ...]

_IN = ("in_features", "in_channels", "num_features", "num_channels", "normalized_shape")
_OUT = ("out_features", "out_channels", "num_features", "num_channels", "normalized_shape")
# What has no weights and yet changes how many features there are, or how large a picture is.
_RESHAPES = (nn.GLU, nn.Flatten, nn.Unflatten, nn.Fold, nn.Unfold, nn.PixelShuffle, nn.PixelUnshuffle)
_RESIZES = (*_RESHAPES, nn.Upsample, _ConvTransposeNd)
_OURS = ("torch.nn.", "identikit.nn.")  # classes whose ways are known
_SPATIAL = re.compile(r"(?<!BatchNorm)([123])d$|BatchNorm([23])d$")  # BatchNorm1d takes features last too


@dataclass(frozen=True)
class Sizes:
    """What is known of a block; None where nothing says it."""

    in_features: int | None
    out_features: int | None
    stride: Stride | None
    dims: int | None


def sizes_of(branch: nn.Module) -> Sizes:
    """The sizes of `branch`: of the layers of an `nn.Sequential`, or what a module of another class says of itself."""
    chain = list(layers_of(branch))
    return Sizes(_first(chain, _IN), _first(reversed(chain), _OUT), _stride(chain), _dims(branch, chain))


def layers_of(branch: nn.Module) -> Iterator[nn.Module]:
    """The layers in the order in which they run; only an `nn.Sequential` says it."""
    if type(branch) is nn.Sequential:
        for child in branch:
            yield from layers_of(child)
    else:
        yield branch


def _first(chain: Iterable[nn.Module], names: tuple[str, ...]) -> int | None:
    """The size of the first module that has one; None where one before it may change how many features there are."""
    for module in chain:
        for name in names:
            value = getattr(module, name, None)
            if name == "normalized_shape" and isinstance(value, tuple):
                value = value[-1]
            if isinstance(value, int) and value > 0:  # a lazy module says 0
                return value
        if not _keeps_features(module):
            return None
    return None


def _keeps_features(module: nn.Module) -> bool:
    """Only a weight of two dimensions mixes features, and of what has none, only a few layers reshape."""
    weights = list(module.parameters())
    known = bool(weights) or _is_known(module)
    return known and not isinstance(module, _RESHAPES) and all(weight.ndim < 2 for weight in weights)


def _is_known(module: nn.Module) -> bool:
    return type(module).__module__.startswith(_OURS)


def _stride(chain: Iterable[nn.Module]) -> Stride | None:
    """The product of the strides of convolutions, pools and blocks; None where a layer may resize otherwise."""
    total: Stride | None = 1
    for module in chain:
        stride = getattr(module, "stride", None)
        if isinstance(module, _RESIZES) or (stride is None and not _is_known(module)) or total is None:
            return None
        if stride is not None:
            total = _times(total, tuple(stride) if isinstance(stride, list | tuple) else stride)
    return total


def _times(left: Stride, right: Stride) -> Stride | None:
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    width = max(len(each) for each in (left, right) if isinstance(each, tuple))
    lefts, rights = strides(left, width), strides(right, width)
    if len(lefts) != len(rights):
        return None
    total = tuple(a * b for a, b in zip(lefts, rights, strict=True))
    return total[0] if len(set(total)) == 1 else total


def _dims(branch: nn.Module, chain: Iterable[nn.Module]) -> int | None:
    """The spatial dimensions that the layers' names tell; None where they lie inside a class of its own, or differ."""
    found = {dims for module in chain if (dims := _own_dims(module))}
    if found:
        return found.pop() if len(found) == 1 else None
    return None if any(_own_dims(module) for module in branch.modules()) else 0


def _own_dims(module: nn.Module) -> int:
    """Of `Conv2d`, `MaxPool2d`, `Dropout2d`, `BatchNorm2d`, and of our own blocks; else 0."""
    if not _is_known(module):
        return 0
    said = _SPATIAL.search(type(module).__name__)
    own = getattr(module, "dims", 0)
    return int(said[1] or said[2]) if said else own if isinstance(own, int) else 0


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
    steps = strides(stride, 1) if isinstance(stride, int | tuple | list) else ()
    if not steps or not all(isinstance(step, int) and step >= 1 for step in steps):
        raise BlockError(
            f"{owner}: stride={stride}; a stride is a whole number from 1 on. Use 1 to keep every position."
        )
    if dims == 0 and is_strided(stride):
        raise BlockError(f"{owner}: stride={stride} needs a spatial dimension to stride over. Say dims=1, 2 or 3.")
    if dims and len(strides(stride, dims)) != dims:
        raise BlockError(f"{owner}: stride={stride} has {len(steps)} numbers for dims={dims}. Give one number.")


def is_strided(stride: Stride) -> bool:
    """Whether it skips anything."""
    return math.prod(strides(stride, 1)) != 1
