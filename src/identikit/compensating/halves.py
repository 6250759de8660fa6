"""A fit that is judged on what it was not shown: two sums of products, of every other batch each."""

from __future__ import annotations

import torch

from identikit.replacing.fit import LeastSquares, Solution

#: Shares of the inputs' own size. The last leaves nothing but the prior.
RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 1e6)


class Halves:
    """Rows are added batch by batch; memory does not grow with them."""

    def __init__(self, in_features: int, out_features: int, device: torch.device) -> None:
        where = torch.device("cpu") if device.type == "mps" else device  # which has no float64
        self.device = where
        self._sums = (LeastSquares(in_features, out_features, where), LeastSquares(in_features, out_features, where))
        self._batches = 0

    def add(self, x_ni: torch.Tensor, y_no: torch.Tensor) -> None:
        """Rows of inputs [rows, in] and outputs [rows, out] of one batch."""
        self._sums[self._batches % 2].add(x_ni.to(self.device), y_no.to(self.device))
        self._batches += 1

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return sum(each.count for each in self._sums)

    def best(self, prior: torch.Tensor, *, bias: bool = True) -> Solution:
        """The map fitted to all rows with the ridge that does best across the halves. `prior`: [out, in]."""
        one, other = self._sums

        def left(ridge: float) -> float:
            if not (one.count and other.count):
                return ridge  # a single batch: the least ridge, and the caller judges on others
            fitted = (one.solve(ridge, prior, bias=bias), other.solve(ridge, prior, bias=bias))
            return other.residual(fitted[0]) + one.residual(fitted[1])

        return (one + other).solve(min(RIDGES, key=left), prior, bias=bias)
