"""How much a value varies over the data: what a mean square is divided by, so that it means the same in every layer."""

from __future__ import annotations

import torch


class Spread:
    """The variance of rows of features about each feature's own mean, averaged over the features.

    Streaming sums in float64, shifted by the first rows' mean: their size does not depend on the data's.
    """

    def __init__(self) -> None:
        self._count = 0
        self._shift: torch.Tensor | None = None
        self._sum: torch.Tensor | None = None
        self._squares = 0.0

    def add(self, rows_nc: torch.Tensor) -> None:
        """More rows."""
        if len(rows_nc) == 0:
            return
        device = torch.device("cpu") if rows_nc.device.type == "mps" else rows_nc.device  # which has no float64
        rows = rows_nc.detach().to(device).double()
        if self._shift is None or self._sum is None:
            self._shift, self._sum = rows.mean(dim=0), torch.zeros_like(rows[0])
        rows = rows - self._shift
        self._count += len(rows)
        self._sum += rows.sum(dim=0)
        self._squares += float(rows.square().sum())

    @property
    def value(self) -> float:
        """The variance; 1 where nothing varies, so that a mean square stays what it is."""
        if self._sum is None:
            return 1.0
        left = self._squares - float(self._sum.square().sum()) / self._count
        found = left / (self._count * self._sum.numel())
        return found if found > 0 else 1.0
