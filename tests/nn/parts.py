"""Small branches and inputs that the tests of residual blocks share."""

from __future__ import annotations

import torch
from torch import nn

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def mlp(into: int = 8, out: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, 16), nn.ReLU(), nn.Linear(16, out))


def conv(into: int = 4, out: int = 4, stride: int = 1, dims: int = 2) -> nn.Module:
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](into, out, 3, stride=stride, padding=1)


def image(channels: int = 4, size: int = 7, dims: int = 2) -> torch.Tensor:
    return torch.randn(2, channels, *[size] * dims)


class Doubles(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Widens(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x], dim=-1)


class Casts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double()
