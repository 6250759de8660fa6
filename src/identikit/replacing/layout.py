"""How a layer's output lies to its input: which dimension holds the features, how far each other one is thinned out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import nn

from identikit.structure.operations import memory
from identikit.structure.trees import leaves
from identikit.structure.watch import Call, Watched

FIRST, LAST = 1, -1  # where features lie: behind the examples (convolutions), or at the end (linear layers)


@dataclass(frozen=True)
class Layout:
    """`[examples, features, *positions]` (axis 1) or `[examples, *positions, features]` (axis -1).

    `strides` says for each dimension of positions how many of the input make one of the output.
    """

    axis: int
    in_features: int
    out_features: int
    strides: tuple[int, ...]

    @property
    def strided(self) -> bool:
        return any(stride != 1 for stride in self.strides)

    @property
    def stride(self) -> int | str:
        """The strides as an option of an edit: one number where they are equal, else "2x1"."""
        same = len(set(self.strides)) <= 1
        return next(iter(self.strides), 1) if same else "x".join(map(str, self.strides))

    def output_shape(self, shape: torch.Size) -> list[int]:
        """The shape that an input of `shape` becomes."""
        positions = shape[2:] if self.axis == FIRST else shape[1:-1]
        thinned = [-(-size // stride) for size, stride in zip(positions, self.strides, strict=True)]
        features = [self.out_features]
        return [shape[0], *features, *thinned] if self.axis == FIRST else [shape[0], *thinned, *features]


def layout_of(entered: torch.Size, left: torch.Size, axis: int) -> Layout | None:
    """How an output of shape `left` lies to an input of shape `entered`, the features being at `axis`; None if not."""
    if len(entered) != len(left) or len(left) < 2 or entered[0] != left[0] or 0 in (*entered, *left):
        return None
    axis = LAST if len(left) == 2 else axis
    where = slice(2, None) if axis == FIRST else slice(1, -1)
    pairs = list(zip(entered[where], left[where], strict=True))
    strides = tuple(ceil(before / after) for before, after in pairs)
    fits = all(-(-before // stride) == after for (before, after), stride in zip(pairs, strides, strict=True))
    return Layout(axis, entered[axis], left[axis], strides) if fits else None


def features_axis(watched: Watched, call: Call, output: torch.Tensor) -> int | None:
    """Where the features of `output` lie, by the last operation with weights behind it; None where none is.

    A convolution (weights of three dimensions and more) puts them behind the examples, a matrix at the end; what
    works on each number alone, and norms, are looked through.
    """
    wanted, shape = {memory(output)}, output.shape
    turned = False  # as many features as positions, and dimensions exchanged behind the operation
    for inputs, result in reversed(watched.operations[: watched.during(call).stop]):
        made = next((value for _, value in leaves(result) if _among(value, wanted)), None)
        if made is None or any(_among(value, wanted) for value in inputs):  # or a view, or written in place
            continue
        as_made = _order(made) if shape == made.shape else list(range(len(shape)))
        turned = turned or _order(output) != as_made
        weight = next((value for value in inputs if _mixes(value, made, inputs)), None)
        if weight is None:
            wanted |= {memory(value) for value in inputs if _alike(value, made)}
            continue
        kernel = weight.ndim > 2 and made.ndim == weight.ndim
        features = made.shape[1] if kernel else made.shape[-1]
        return _where(features, shape, FIRST if (kernel and shape == made.shape) != turned else LAST)
    return None


def _order(tensor: torch.Tensor) -> list[int]:
    """The dimensions in the order in which they lie in memory."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


def guessed_axis(ndim: int) -> int:
    """Where features lie where no operation tells: pictures and volumes have them first, all else last."""
    return FIRST if ndim > 3 else LAST


def _where(features: int, shape: torch.Size, first_choice: int) -> int | None:
    """The end of `shape` that holds so many features: the one expected, or the other after a permutation."""
    for axis in (first_choice, FIRST if first_choice == LAST else LAST):
        if len(shape) > 1 and shape[axis] == features:
            return axis
    return None


def _among(value: Any, wanted: set[int]) -> bool:
    return isinstance(value, torch.Tensor) and memory(value) in wanted


def _alike(value: torch.Tensor, made: torch.Tensor) -> bool:
    return value.is_floating_point() and value.numel() == made.numel()


def _mixes(value: torch.Tensor, made: torch.Tensor, inputs: Sequence[torch.Tensor]) -> bool:
    """Whether it is a weight (or a view of one: a linear layer transposes its own) that does more than scale or add.

    What scales or adds leaves the other operand its shape; a matrix may fit the result too, by chance.
    """
    base = value._base if value._is_view() else None
    weight = any(isinstance(each, nn.Parameter) and each.ndim > 1 for each in (value, base))
    transposed = base is not None and value.stride() != base.stride()
    alone = all(each is value or each.shape != made.shape for each in inputs)
    return weight and (transposed or alone or not _broadcasts(value.shape, made.shape))


def _broadcasts(small: torch.Size, large: torch.Size) -> bool:
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(one in (1, other) for one, other in pairs)
