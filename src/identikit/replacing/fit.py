"""Linear least squares over a stream: sums of products alone are kept, so memory does not grow with the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_LARGEST = 1 << 24  # numbers turned into float64 at once


@dataclass(frozen=True)
class Solution:
    """`y = x @ weight.T + bias`, in float64: weight [out, in], bias [out]."""

    weight: torch.Tensor
    bias: torch.Tensor


class LeastSquares:
    """The linear map with a bias that is nearest to the pairs of rows it was shown.

    Kept are the number of rows, the two means, and the sums of products about the means, in float64: `X'X` [in, in],
    `X'Y` [in, out], and the diagonal of `Y'Y` [out]. Two such sums are added by the rule of Chan, Golub and LeVeque,
    "Updating formulae and a pairwise algorithm for computing sample variances" (1979), which loses no digits where a
    mean is large beside its spread; the plain sums would.
    """

    def __init__(self, in_features: int, out_features: int, device: torch.device | str = "cpu") -> None:
        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.count = 0
        self.mean_x, self.mean_y = zeros(in_features), zeros(out_features)
        self.xx, self.xy = zeros(in_features, in_features), zeros(in_features, out_features)
        self.yy = zeros(out_features)

    def add(self, x_ni: torch.Tensor, y_no: torch.Tensor) -> None:
        """Take in rows of inputs [rows, in] and outputs [rows, out], on any device, of any floating dtype."""
        step = max(1, _LARGEST // max(x_ni.shape[1], y_no.shape[1]))
        for start in range(0, len(x_ni), step):
            part = LeastSquares(len(self.mean_x), len(self.mean_y), self.xx.device)
            part._hold(x_ni[start : start + step].to(self.xx), y_no[start : start + step].to(self.xx))
            self._merge(part)

    def __add__(self, other: LeastSquares) -> LeastSquares:
        """The sums over the rows of both."""
        both = LeastSquares(len(self.mean_x), len(self.mean_y), self.xx.device)
        both._merge(self)
        both._merge(other)
        return both

    def solve(self, ridge: float = 1e-9, prior: torch.Tensor | None = None, *, bias: bool = True) -> Solution:
        """The map that minimises `|Y - XW' - b|^2 + ridge * s * |W - prior|^2`, s being the mean diagonal of `X'X`.

        The ridge is thus a share of the inputs' own size. With the smallest one, directions in which the inputs do not
        vary (fewer rows than features, features that repeat others) take the prior's weight, and all others are as good
        as without. Because the prior itself costs nothing, the result is never farther from the rows it was shown than
        the prior is. `prior` [out, in]: zeros where None. Without a `bias` it is held at zero.

        Source: Hoerl and Kennard, "Ridge regression" (1970), with the penalty about a prior instead of about zero.
        """
        start = torch.zeros_like(self.xy) if prior is None else prior.T.to(self.xx)
        xx, xy = self.xx, self.xy
        if not bias:  # sums about zero instead of about the means
            xx = xx + self.count * torch.outer(self.mean_x, self.mean_x)
            xy = xy + self.count * torch.outer(self.mean_x, self.mean_y)
        size = float(xx.diagonal().mean())
        weight = start
        if size > 0:  # else the inputs never vary, and nothing can be learned from them
            penalty = ridge * size * torch.eye(len(xx), dtype=xx.dtype, device=xx.device)
            factor, failed = torch.linalg.cholesky_ex(xx + penalty)
            missing = xy - xx @ start
            weight = start + (_by_eigenvectors(xx, missing, ridge * size) if failed else _solved(missing, factor))
        offset = self.mean_y - self.mean_x @ weight if bias else torch.zeros_like(self.mean_y)
        return Solution(weight.T.contiguous(), offset)

    def residual(self, solution: Solution) -> float:
        """How much of the outputs' spread a map leaves over these rows: 0 is exact, 1 is what their mean leaves.

        The squared error over the squared distance from the mean, both summed over all features.
        """
        weight = solution.weight.T
        inside = self.yy.sum() - 2 * (weight * self.xy).sum() + (weight * (self.xx @ weight)).sum()
        off = solution.bias - (self.mean_y - self.mean_x @ weight)
        error, spread = float(inside + self.count * off.square().sum()), float(self.yy.sum())
        return max(0.0, error) / spread if spread > 0 else float(error > 0)

    def _hold(self, x_ni: torch.Tensor, y_no: torch.Tensor) -> None:
        self.count = len(x_ni)
        if self.count:
            self.mean_x, self.mean_y = x_ni.mean(0), y_no.mean(0)
            x_ni, y_no = x_ni - self.mean_x, y_no - self.mean_y
            self.xx, self.xy, self.yy = x_ni.T @ x_ni, x_ni.T @ y_no, y_no.square().sum(0)

    def _merge(self, other: LeastSquares) -> None:
        total = self.count + other.count
        if not other.count:
            return
        share = other.count / total
        apart_x, apart_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        between = self.count * share
        self.xx = self.xx + other.xx + between * torch.outer(apart_x, apart_x)
        self.xy = self.xy + other.xy + between * torch.outer(apart_x, apart_y)
        self.yy = self.yy + other.yy + between * apart_y.square()
        self.mean_x, self.mean_y = self.mean_x + share * apart_x, self.mean_y + share * apart_y
        self.count = total


def _solved(right: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return torch.cholesky_solve(right, factor)


def _by_eigenvectors(square: torch.Tensor, right: torch.Tensor, penalty: float) -> torch.Tensor:
    """The same where rounding left `square` short of positive: eigenvalues below zero count as zero."""
    values, vectors = torch.linalg.eigh(square)
    found: torch.Tensor = vectors @ ((vectors.T @ right) / (values.clamp_min(0) + penalty)[:, None])
    return found
