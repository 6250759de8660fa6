"""The mean of a layer's output over data, one number a feature: what mean ablation puts in the layer's place."""

from __future__ import annotations

import torch


class RunningMean:
    """The mean of all rows seen so far, in float64; memory does not grow with the data."""

    def __init__(self, features: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.value = torch.zeros(features, dtype=torch.float64, device=device)

    def add(self, rows_nf: torch.Tensor) -> None:
        """Take in rows of features [rows, features]."""
        if len(rows_nf):
            self.count += len(rows_nf)
            part = rows_nf.to(self.value).mean(0)
            self.value = self.value + (part - self.value) * (len(rows_nf) / self.count)
