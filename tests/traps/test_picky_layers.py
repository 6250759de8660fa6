"""Layers that take one dtype only, a train() that returns nothing, nested tensors: answered or refused, no crash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from identikit.families.anatomy import anatomy_of
from identikit.surgery.apply import bypass

WIDTH = 8
X = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(0))
Look = Callable[[torch.Tensor], Any]


def asserting(x: torch.Tensor) -> Any:
    assert x.dtype == torch.float32


def table(x: torch.Tensor) -> Any:
    return {torch.float32: 1}[x.dtype]


def listing(x: torch.Tensor) -> Any:
    return [1][0 if x.dtype == torch.float32 else 1]


def attribute(x: torch.Tensor) -> Any:
    return (x if x.dtype == torch.float32 else None).shape  # type: ignore[union-attr]


class Picky(nn.Module):
    """A residual block with a branch inside; `look` is done to what enters."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.branch, self.look = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()), look

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.look(x)
        return x + self.branch(x)


class Stack(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("look", [asserting, table, listing, attribute])
def test_a_layer_of_one_dtype_is_proved_in_that_one(look: Look) -> None:
    model = Stack(*(Picky(look) for _ in range(3)))
    assert anatomy_of(model, X).verdict("layers.1.branch").role == "branch"
    with bypass(model, "layers.1.branch", inputs=X):
        assert torch.equal(model(X), model.layers[2](model.layers[0](X)))


@pytest.mark.parametrize("look", [asserting, table, listing, attribute])
def test_a_layer_of_another_dtype_only_is_refused_not_crashed(look: Look) -> None:
    def in_double(x: torch.Tensor) -> Any:
        look(x.float() if x.dtype == torch.float16 else x.half())

    model, x = Stack(*(Picky(in_double) for _ in range(3))).half(), X.half()
    assert anatomy_of(model, x).verdict("layers.1.branch").role == "unproved"


class Silent(Picky):
    """A train() that returns nothing."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


def test_a_train_that_returns_nothing() -> None:
    model = Stack(*(Silent(lambda x: None) for _ in range(3)))
    assert anatomy_of(model, X).verdict("layers.1.branch").role == "branch"


class Padded(nn.Module):
    """An encoder that makes nested tensors of what is not padding."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
        self.enc = nn.TransformerEncoder(layer, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.enc(x, src_key_padding_mask=mask)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_go_from_layer_to_layer() -> None:
    model = Padded().eval()
    x, mask = torch.randn(2, 5, WIDTH), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.no_grad(), bypass(model, "enc.layers.1", inputs=(x, mask)):
        edited, expected = model(x, mask), x
        for number in (0, 2):
            expected = model.enc.layers[number](expected, src_key_padding_mask=mask)
    torch.testing.assert_close(edited[~mask], expected[~mask])
