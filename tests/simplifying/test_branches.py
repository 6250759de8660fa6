"""Parallel convolutions whose outputs are added become one, as RepVGG and MobileOne are deployed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from .held import done, left, names, picture, simplified, trained


class Block(nn.Module):
    """RepVGG's block, written as its authors do: 3 x 3, 1 x 1 and, where it fits, the input, each normed."""

    def __init__(self, wide_in: int, wide: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.dense = self._normed(wide_in, wide, 3, stride, groups)
        self.point = self._normed(wide_in, wide, 1, stride, groups)
        self.same = nn.BatchNorm2d(wide_in) if wide_in == wide and stride == 1 else None
        self.act = nn.ReLU(inplace=True)

    def _normed(self, wide_in: int, wide: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
        convolution = nn.Conv2d(wide_in, wide, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(wide))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        same = 0 if self.same is None else self.same(x)
        return self.act(self.dense(x) + self.point(x) + same)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_repvgg(groups: int) -> None:
    blocks = (Block(4, 4, groups=groups), Block(4, 8, 2, groups), Block(8, 8, groups=groups))
    model = trained(nn.Sequential(*blocks))
    found = simplified(model, picture(4, 12))
    assert names(model) == ["Conv2d", "ReLU"] * 3
    assert list(done(found, "branches")) == ["0", "1", "2"]
    assert found.rewrites[-1].said == "one convolution, then act"
    assert [name for name, _ in model[0].named_children()] == ["dense_0", "act"]


class Sum(nn.Module):
    """A sum of layers of the same input, with the input itself where asked for."""

    def __init__(self, *layers: nn.Module, skip: bool = False) -> None:
        super().__init__()
        self.layers, self.skip = nn.ModuleList(layers), skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = x if self.skip else 0
        for layer in self.layers:
            total = total + layer(x)
        return total


@pytest.mark.parametrize(
    "block",
    [
        Sum(nn.Conv2d(4, 4, 3, padding=1), skip=True),
        Sum(nn.Conv2d(4, 4, (1, 3), padding=(0, 1)), nn.Conv2d(4, 4, 3, padding=1)),
        Sum(nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(4, 6, 1, 2), nn.Conv2d(4, 6, 5, 2, 2, bias=False)),
        Sum(nn.Conv2d(4, 4, 3, padding=2, dilation=2), nn.Conv2d(4, 4, 3, padding=2, dilation=2)),
        Sum(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Identity()),
    ],
)  # fmt: skip
def test_sums(block: nn.Module) -> None:
    model = trained(nn.Sequential(block, nn.ReLU()))
    assert list(done(simplified(model, picture(4)), "branches")) == ["0"]
    assert names(model) == ["Conv2d", "ReLU"]


@pytest.mark.parametrize(
    "block",
    [
        Sum(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2)),
        Sum(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, groups=2)),
        Sum(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 5, padding=2)),
        Sum(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()),
        Sum(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()), nn.Conv2d(4, 4, 1)),
    ],
)
def test_sums_that_are_no_convolution(block: nn.Module) -> None:
    assert simplified(nn.Sequential(block, nn.ReLU()).eval(), picture(4)).rewrites == ()


class Product(Sum):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](x) * self.layers[1](x)


class Weighed(Sum):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](x) + 2 * self.layers[1](x)


class Bent(Sum):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layers[0](x) + self.layers[1](x))


@pytest.mark.parametrize("kind", [Product, Weighed, Bent])
def test_what_is_not_their_sum(kind: type[Sum]) -> None:
    model = nn.Sequential(kind(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1))).eval()
    assert simplified(model, picture(4)).rewrites == ()


def test_a_branch_with_a_hook_stays() -> None:
    model = trained(nn.Sequential(Sum(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)), nn.ReLU()))
    model[0].layers[1].register_forward_hook(lambda *_: None)
    assert left(simplified(model, picture(4))) == {"0": '"0.layers.1" has a hook'}
