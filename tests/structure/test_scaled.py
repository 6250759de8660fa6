"""Scaled and rearranged branches: proved where only stream plus A times branch counts, asked for in every near miss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.families.anatomy import anatomy_of
from zoo import weigh

WIDTH = 16
X = torch.randn(2, 6, WIDTH, generator=torch.Generator().manual_seed(0))
C = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1))


class Part(nn.Module):
    """Tokens look at each other, with a kink."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu((x @ x.mT / WIDTH).softmax(-1) @ self.value(x)))


class Block(nn.Module):
    """One branch; `way` joins it to the stream."""

    def __init__(self, way: Callable[[Block, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.part, self.norm, self.mix = Part(), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.gamma, self.modulate = nn.Parameter(torch.rand(WIDTH)), nn.Linear(WIDTH, WIDTH)
        self.way = way

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return self.way(self, x, c)


class Chain(nn.Module):
    def __init__(self, way: Callable[[Block, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(way) for _ in range(3))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x, c)
        return self.head(x)


def layer_scale(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return x + b.gamma * b.part(b.norm(x))


def tiny_layer_scale(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return x + 1e-6 * b.gamma * b.part(b.norm(x))


def in_one_operation(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(x, b.gamma, b.part(b.norm(x)))


def added_with_alpha(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return x.sub(b.part(b.norm(x)), alpha=0.3)


def post_norm(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return b.norm(x + 0.3 * b.part(x))


def gated_by_the_condition(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return x + torch.sigmoid(b.modulate(c)).unsqueeze(1) * b.part(b.norm(x))


def windows(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Rolled and cut into two windows, as a shifted-window transformer does, and put together again."""
    cut = torch.roll(b.norm(x), 1, 1).reshape(4, 3, WIDTH)
    return x + torch.roll(b.part(cut).reshape(2, 6, WIDTH), -1, 1)


def beside_another(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    y = b.norm(x)
    return x + (0.5 * b.part(y) + 0.5 * b.mix(y))


PROVED = [
    layer_scale, tiny_layer_scale, in_one_operation, added_with_alpha, post_norm, gated_by_the_condition, windows,
    beside_another,
]  # fmt: skip


@pytest.mark.parametrize("way", PROVED, ids=lambda way: way.__name__)
def test_a_scaled_or_rearranged_branch_is_proved(way: Callable[..., torch.Tensor]) -> None:
    """And without it the block is what its code says without that term."""
    model = weigh(Chain(way))
    assert anatomy_of(model, (X, C)).verdict("layers.1.part").role == "branch"
    with ik.bypass(model, "layers.1.part", inputs=(X, C)):
        edited = model(X, C)
    model.layers[1].part.forward = lambda x: torch.zeros_like(x)
    assert torch.equal(edited, model(X, C))


def a_bias_behind(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Zero for the part leaves the bias."""
    return x + b.gamma * (b.part(b.norm(x)) + b.modulate.bias)


def a_norm_behind(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return x + b.norm(b.part(x))


def a_projection_behind(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Linear, without a bias and as wide: but a part of the branch, which the projection mixes."""
    return x + b.mix(b.part(b.norm(x)))


def the_mean_of_both(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Half of each: zero for the part would halve the stream."""
    return 0.5 * (x + b.part(b.norm(x)))


def gated_by_the_stream(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """A product of two things computed from the stream: which is the gate nobody can tell."""
    return x + torch.sigmoid(b.modulate(x)) * b.part(b.norm(x))


def highway(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    gate = torch.sigmoid(b.modulate(x))
    return gate * b.part(b.norm(x)) + (1 - gate) * x


def read_twice(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """The part also decides what a later one does."""
    y = b.part(b.norm(x))
    return x + 0.3 * y + torch.relu(b.mix(y))


def of_pooled_values(b: Block, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """The mean goes to every token: not one value to one value."""
    return x + 0.3 * b.part(b.norm(x)).mean(1, keepdim=True).expand_as(x)


ASKED = [
    a_bias_behind, a_norm_behind, a_projection_behind, gated_by_the_stream, highway, read_twice, of_pooled_values,
]  # fmt: skip


@pytest.mark.parametrize("way", ASKED, ids=lambda way: way.__name__)
def test_a_near_miss_is_asked_for(way: Callable[..., torch.Tensor]) -> None:
    assert anatomy_of(weigh(Chain(way)), (X, C)).verdict("layers.1.part").role == "unproved"


def test_of_two_outputs_both_must_be_branches() -> None:
    """Half proved is not proved: zero in the place of the other output would be wrong."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = Part(), Part()

        def forward(self, x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.left(torch.cat([x, z], 1))[:, : x.shape[1]], self.right(torch.cat([z, x], 1))[:, : z.shape[1]]

    class Two(nn.Module):
        def __init__(self, *, second_added: bool) -> None:
            super().__init__()
            self.both = nn.ModuleList(Both() for _ in range(3))
            self.norm, self.second_added = nn.LayerNorm(WIDTH), second_added

        def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            for layer in self.both:
                a, b = layer(self.norm(x), self.norm(z))
                x, z = x + a, z + 0.5 * b if self.second_added else torch.maximum(z, b)
            return torch.cat([x, z], 1)

    inputs = (X, X[:, :4].flip(1))
    assert anatomy_of(weigh(Two(second_added=True)), inputs).verdict("both.1").role == "branch"
    assert anatomy_of(weigh(Two(second_added=False)), inputs).verdict("both.1").role == "unproved"
