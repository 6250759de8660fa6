"""Robust scaling: each column by its median and quartiles, which a few wild values do not move."""

from __future__ import annotations

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.shape_text import dtype_text


class RobustScale(nn.Module):
    """`(x - centre) * scale`, a value of each for every feature.

    The scaling of RealMLP (Holzmüller 2024, arXiv 2407.04491): the centre is the median, the scale one over the
    distance of the quartiles. Where those are equal it is two over the whole range; a column that never changes (or
    by less than the dtype can divide by) gives 0.

    Args:
        centre: `[features]`.
        scale: `[features]`.

    Shape:
        `[..., features]` in, the same out; the dtype stays.

    Raises:
        BlockError: if the last dimension is not `features` wide.

    Example:
        >>> RobustScale.fit(torch.tensor([[1.0], [2.0], [3.0], [4.0], [5000.0]]))(torch.tensor([[5.0]]))
        tensor([[1.]])
    """

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, centre: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        if centre.shape != scale.shape or centre.ndim != 1:
            raise BlockError(
                f"RobustScale: centre has the shape {list(centre.shape)} and scale {list(scale.shape)}. "
                "Give one value a feature for both, or measure them: RobustScale.fit(data)."
            )
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)

    @classmethod
    def fit(cls, data: torch.Tensor) -> RobustScale:
        """Measured on `data`, `[rows, features]`.

        Raises:
            BlockError: if `data` is no table of finite numbers with at least one row; the column is named.
        """
        if data.ndim != 2 or data.numel() == 0 or not data.is_floating_point():
            raise BlockError(
                f"RobustScale: cannot measure a {dtype_text(data)} tensor of shape "
                f"{list(data.shape)}. Give a floating-point table [rows, features] with at least one of each."
            )
        table = data.detach().double()
        bad = (~table.isfinite()).any(dim=0).nonzero().flatten().tolist()
        if bad:
            raise BlockError(f"RobustScale: column {bad[0]} holds NaN or an infinite value. Fill or drop it first.")
        marks = torch.tensor([0.25, 0.5, 0.75], dtype=table.dtype, device=table.device)
        # column by column: torch.quantile takes at most 16 million values at once
        quartiles = torch.stack([torch.quantile(column, marks) for column in table.unbind(1)], dim=1)
        between = quartiles[2] - quartiles[0]
        width = torch.where(between > 0, between, (table.amax(dim=0) - table.amin(dim=0)) / 2)
        scale = (1 / width).to(data.dtype)
        known = (width > 0) & scale.isfinite() & (scale != 0)  # what a column spans must have a reciprocal
        return cls(quartiles[1].to(data.dtype), torch.where(known, scale, torch.zeros_like(scale)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each feature by its own centre and scale."""
        if isinstance(x, torch.Tensor) and x.shape[-1:] != self.centre.shape:  # fx's proxies have no shape
            raise BlockError(
                f"RobustScale: measured on {len(self.centre)} features, called with a tensor of shape {list(x.shape)}. "
                "Give the columns it was measured on, features last."
            )
        scaled: torch.Tensor = (x - self.centre) * self.scale
        return scaled.to(x.dtype)

    def extra_repr(self) -> str:
        """How many features it knows."""
        return f"features={len(self.centre)}"
