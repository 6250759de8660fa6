"""Stochastic depth: a residual branch is left out at random while training, and always there in evaluation."""

from __future__ import annotations

from numbers import Real

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.one_of import one_of
from identikit.nn.shape_text import dtype_text

MODES = ("row", "batch")
SCALES = ("train", "eval", "none")


class StochasticDepth(nn.Module):
    """Set a branch to zero at random while training: for some samples of a batch, or for the whole batch.

    It goes last in the branch: `Residual(nn.Sequential(nn.Linear(8, 8), StochasticDepth(0.1)))`. The branch is computed
    and multiplied; `LayerDrop` is the one that saves its arithmetic.

    Args:
        drop: the probability of being left out, 0 to 1. `linear_schedule` gives one for each block of a network.
        mode: "row": each sample (first dimension) has its own draw, as in timm. "batch": one draw for all, as in
            the paper.
        scale: how training and evaluation come to the same mean.
            "train": divided by the keep probability while training, evaluation is plain (timm, torchvision).
            "eval": training is plain, multiplied by the keep probability in evaluation (the paper).
            "none": neither; the branch weighs more in evaluation than it did on average while training.

    Shape:
        [N, ...] in, the same out; the dtype stays. A sample left out is multiplied by zero.

    With scale="train" it equals `torchvision.ops.stochastic_depth` bit by bit under the same seed.

    Raises:
        BlockError: if an argument is out of range, the input has no first dimension to draw for, or it is not floating.

    Source: Huang et al. 2016, arXiv 1603.09382.

    Example:
        >>> StochasticDepth(0.2, scale="eval").eval()(torch.ones(1, 2))
        tensor([[0.8000, 0.8000]])
    """

    def __init__(self, drop: float, *, mode: str = "row", scale: str = "train") -> None:
        super().__init__()
        self.drop = check_probability("StochasticDepth", drop)
        one_of("StochasticDepth", "mode", mode, MODES)
        one_of("StochasticDepth", "scale", scale, SCALES)
        self.mode = mode
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The branch's output, kept, dropped or scaled."""
        keep = 1.0 - self.drop
        if self.drop == 0 or not (self.training or self.scale == "eval"):
            return x
        if isinstance(x, torch.Tensor) and not x.is_floating_point():
            raise BlockError(f"StochasticDepth: called with {dtype_text(x)}, not floating numbers. Use x.float().")
        if not self.training:
            return x * keep
        if x.ndim == 0:
            raise BlockError("StochasticDepth: called with a single number, which has no samples. Give [N, ...].")
        kept = x.new_empty(x.shape[0] if self.mode == "row" else 1, *(1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * (kept.div_(keep) if self.scale == "train" and keep > 0 else kept)

    def extra_repr(self) -> str:
        """The probability and both rules."""
        return f'{self.drop:g}, mode="{self.mode}", scale="{self.scale}"'


def linear_schedule(depth: int, drop: float, *, first: float = 0.0) -> list[float]:
    """The drop probability of each of `depth` blocks, rising in a straight line from `first` to `drop`.

    The last block always has `drop`. timm and ConvNeXt start at zero, which is the default; the paper's rule, in which
    the first block is dropped too, is `first=drop / depth`.

    Raises:
        BlockError: if there is no block, or a probability is not within 0 and 1.

    Example:
        >>> linear_schedule(5, 0.5, first=0.1)
        [0.1, 0.2, 0.3, 0.4, 0.5]
    """
    if depth < 1:
        raise BlockError(f"linear_schedule: depth={depth}. Give the number of blocks, at least 1.")
    check_probability("linear_schedule", drop)
    check_probability("linear_schedule", first)
    if depth == 1:
        return [drop]
    shares = (block / (depth - 1) for block in range(depth))
    return [first * (1 - share) + drop * share for share in shares]


def check_probability(owner: str, drop: object) -> float:
    """`drop` as a float; BlockError unless it is a number within 0 and 1."""
    if not isinstance(drop, Real) or not 0 <= float(drop) <= 1:
        raise BlockError(f"{owner}: {drop!r} is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.")
    return float(drop)
