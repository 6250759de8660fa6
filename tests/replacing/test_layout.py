"""Where the features of a layer's output lie, also where sizes agree by chance: as many positions as features."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import identikit as ik

N = 8  # features, rows, columns, tokens


class Branch(nn.Module):
    """What is added to the stream; `kind` says which layers make it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.mix = nn.Conv1d(N, N, 1) if kind == "convolution" else nn.Linear(N, N)
        self.gamma = nn.Parameter(torch.rand(N) + 0.5)
        self.end = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "convolution":  # tokens, features: a convolution wants them exchanged
            return self.end(self.mix(x.transpose(1, 2)).transpose(1, 2))
        if self.kind == "pictures":  # features first: a matrix wants them last
            return self.end((self.gamma * self.mix(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2))
        if self.kind == "pictures, no scale":
            return self.end(self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return self.end(self.mix(x))


class Net(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.branch = Branch(kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


@pytest.mark.parametrize(
    ("kind", "shape", "features"),
    [
        ("convolution", (3, N, N), 2),
        ("pictures", (3, N, N, N), 1),
        ("pictures, no scale", (3, N, N, N), 1),
        ("rows", (N, N), 1),
        ("rows", (1, N, N), 2),
        ("rows", (N, N, N), 2),
    ],
)
@pytest.mark.parametrize("place", ["branch", "branch.end"])
def test_the_mean_is_of_features(kind: str, shape: tuple[int, ...], features: int, place: str) -> None:
    torch.manual_seed(0)
    model, x = Net(kind).eval(), torch.randn(shape)
    with torch.no_grad():
        full = model.branch(x)
        mean = full.mean([each for each in range(full.ndim) if each != features], keepdim=True)
        with ik.bypass(model, place, inputs=x, as_="mean", data=[x]):
            torch.testing.assert_close(model(x), x + mean.expand_as(full))
