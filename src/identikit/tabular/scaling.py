"""How columns of numbers are scaled before the network sees them: by quantiles, robustly, to unit variance, or not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from identikit.errors import TableError, did_you_mean
from identikit.nn import Identity, Pass, RobustScale

SCALINGS = ("quantile", "robust", "standard", None)
_NOISE = 1e-3  # of a column's standard deviation
_LIMIT = 3.0  # what robust scaling clips to


class Quantile(nn.Module):
    """Each column through its own distribution function, then through the inverse of the normal one.

    A value that was seen often (a column of whole numbers) goes to the middle of the range that it fills. What lies
    beyond all that was seen goes where the extremes of that many normal draws lie. A column that held one value gives
    0, whatever comes: nothing could be learned of it.

    Shape:
        `[rows, features]` in, the same out, in float64.

    Source: the preprocessing of Gorishniy et al. 2021, arXiv 2106.11959, with the noise of their code. Theirs goes out
    to ±5.2 whatever the number of rows.
    """

    quantiles: torch.Tensor
    reach: torch.Tensor

    def __init__(self, quantiles: torch.Tensor, reach: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("quantiles", quantiles)  # [features, quantiles], ascending
        self.register_buffer("reach", reach)  # the highest share that a value may have, below 1

    @classmethod
    def fit(cls, data: torch.Tensor, random: np.random.RandomState) -> Quantile:
        """Measured on `data`, `[rows, features]`, with a little noise so that ties make no steps."""
        rows = len(data)
        count = max(min(rows // 30, 1000), 10)
        noise = torch.from_numpy(random.standard_normal(data.shape)) * (_NOISE * _moments(data)[1])
        ordered = (data + noise).sort(dim=0).values
        levels = torch.linspace(0, rows - 1, count, dtype=torch.float64).round().long()
        reach = torch.tensor(rows / (rows + 1), dtype=torch.float64)
        return cls(ordered[levels].T.contiguous(), reach)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normal scores."""
        count = self.quantiles.shape[1]
        columns = x.T.contiguous()
        left = torch.searchsorted(self.quantiles, columns)
        right = torch.searchsorted(self.quantiles, columns, right=True)
        below = self.quantiles.gather(1, (left - 1).clamp(0, count - 2))
        above = self.quantiles.gather(1, left.clamp(1, count - 1))
        step = (columns / 2 - below / 2) / (above / 2 - below / 2)  # halves, as a difference may overflow
        between = left - 1 + step.clamp(0, 1)
        rank = torch.where(right > left, (left + right - 1) / 2, between)
        share = (rank / (count - 1)).clamp(1 - self.reach, self.reach)
        several = self.quantiles[:, 0] < self.quantiles[:, -1]
        scores: torch.Tensor = torch.special.ndtri(share).T * several
        return scores


def fit_scaler(scaling: str | None, data: torch.Tensor, random: np.random.RandomState) -> nn.Module:
    """The layer that scales columns like those of `data`, `[rows, features]` in float64 without NaN.

    Each but None gives 0 for a column that held one value.
    """
    check_scaling(scaling)
    if scaling == "quantile":
        return Quantile.fit(data, random)
    if scaling == "robust":
        return Pass.robust(data, limit=_LIMIT)
    if scaling == "standard":
        mean, spread = _moments(data)
        scale = torch.where(spread > 0, 1 / spread, 0)
        return Pass(scale=scale, shift=-mean * scale)
    return Identity()


def _moments(data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each column's mean and standard deviation, which is 0 exactly for a constant: divided by the largest it is 1."""
    largest = data.abs().amax(dim=0).clamp(min=1e-300)
    spread, mean = torch.std_mean(data / largest, dim=0, correction=0)
    return mean * largest, spread * largest


def restored_scaler(scaling: str | None, state: Mapping[str, torch.Tensor]) -> nn.Module:
    """The layer that `state`, its state dict, was taken from. KeyError where a tensor of it is absent."""
    check_scaling(scaling)
    if scaling == "quantile":
        return Quantile(state["quantiles"], state["reach"])
    if scaling == "robust":
        scale = RobustScale(state["norm.centre"], state["norm.scale"])
        return Pass(norm=scale, clamp=(-_LIMIT, _LIMIT), clip="smooth")
    if scaling == "standard":
        return Pass(scale=state["scale"], shift=state["shift"])
    return Identity()


def check_scaling(scaling: str | None) -> None:
    """Raise TableError for a word that names no scaling."""
    if scaling not in SCALINGS:
        near = did_you_mean(str(scaling), [name for name in SCALINGS if name])
        raise TableError(f'scaling={scaling!r} is not known.{near} Use "quantile", "robust", "standard" or None.')
