"""Roles over blocks written by hand, where the truth is known: branch, block, gate, or asked. Never a wrong proof."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from identikit.errors import RoleError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.families.sites import sites
from identikit.surgery.apply import bypass
from zoo import case, weigh

WIDTH = 16


def linear() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


class Mlp(nn.Module):
    """Up, a kink, down."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))


class Mix(nn.Module):
    """Tokens look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.out = linear(), linear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out((x @ x.mT / WIDTH).softmax(-1) @ self.value(x))


class Block(nn.Module):
    """attention and mlp around a stream; `forward` is what a test is about."""

    def __init__(self, forward: Callable[[Block, torch.Tensor], torch.Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.attn, self.mlp, self.norm1, self.norm2 = Mix(), Mlp(), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        for name, part in parts.items():
            self.add_module(name, part)
        self.way = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.way(self, x)


class Chain(nn.Module):
    """Three blocks in a row and a head."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(make() for _ in range(3))
        self.head = linear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def looked_at(make: Callable[[], nn.Module]) -> Anatomy:
    model = weigh(Chain(make))
    return anatomy_of(model, torch.randn(2, 5, WIDTH))


def roles(make: Callable[[], nn.Module], *names: str) -> list[str]:
    anatomy = looked_at(make)
    assert anatomy.verdict("layers.1").role == "block"
    return [anatomy.verdict(f"layers.1.{name}").role for name in names]


def pre_norm(b: Block, x: torch.Tensor) -> torch.Tensor:
    x = x + b.attn(b.norm1(x))
    return x + b.mlp(b.norm2(x))


def post_norm(b: Block, x: torch.Tensor) -> torch.Tensor:
    x = b.norm1(x + b.attn(x))
    return b.norm2(x + b.mlp(x))


def parallel(b: Block, x: torch.Tensor) -> torch.Tensor:
    y = b.norm1(x)
    return b.attn(y) + b.mlp(y) + x


def in_place(b: Block, x: torch.Tensor) -> torch.Tensor:
    y = b.attn(b.norm1(x))
    y += x
    z = b.mlp(b.norm2(y))
    z += y
    return z


def scaled(b: Block, x: torch.Tensor) -> torch.Tensor:
    x = x + 0.3 * b.attn(b.norm1(x))
    return x + 0.3 * b.mlp(b.norm2(x))


def sandwich(b: Block, x: torch.Tensor) -> torch.Tensor:
    x = x + b.norm1(b.attn(x))
    return x + b.norm2(b.mlp(x))


def no_shortcut(b: Block, x: torch.Tensor) -> torch.Tensor:
    return b.mlp(b.norm2(b.attn(b.norm1(x))))


@pytest.mark.parametrize("way", [pre_norm, post_norm, parallel, in_place], ids=lambda way: way.__name__)
def test_both_branches_of_a_residual_block_are_proved(way: Callable[[Block, torch.Tensor], torch.Tensor]) -> None:
    assert roles(lambda: Block(way), "attn", "mlp") == ["branch", "branch"]


@pytest.mark.parametrize("way", [pre_norm, post_norm, parallel, in_place], ids=lambda way: way.__name__)
def test_norms_and_projections_inside_are_not_branches_by_mistake(
    way: Callable[[Block, torch.Tensor], torch.Tensor],
) -> None:
    """The last projection of a branch is the branch too; a norm that ends the block hands the stream on."""
    inside = ["norm1", "attn.value", "mlp.up"]
    assert roles(lambda: Block(way), *inside) == ["unproved"] * 3
    assert roles(lambda: Block(way), "norm2") == ["block" if way is post_norm else "unproved"]
    assert roles(lambda: Block(way), "attn.out", "mlp.down") == ["branch", "branch"]


def test_a_scaled_branch_is_proved() -> None:
    assert roles(lambda: Block(scaled), "attn", "mlp", "mlp.up", "norm2") == ["branch", "branch"] + ["unproved"] * 2


def test_of_a_sandwich_the_outer_norm_is_the_branch() -> None:
    assert roles(lambda: Block(sandwich), "attn", "mlp", "norm1", "norm2") == ["unproved"] * 2 + ["branch"] * 2


def test_without_a_shortcut_nothing_inside_is_a_branch() -> None:
    anatomy = looked_at(lambda: Block(no_shortcut))
    assert "branch" not in [anatomy.verdict(f"layers.1.{name}").role for name in ("attn", "mlp", "norm1", "norm2")]


class Scale(nn.Module):
    """LayerScale: one factor a feature."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gamma * x


def test_a_layer_scale_is_a_branch_and_what_it_scales_too() -> None:
    def way(b: Block, x: torch.Tensor) -> torch.Tensor:
        return x + b.scale(b.attn(b.norm1(x)))  # type: ignore[operator]

    assert roles(lambda: Block(way, scale=Scale()), "scale", "attn", "attn.out") == ["branch"] * 3


def test_layers_that_the_root_adds_to_the_stream_are_branches() -> None:
    """`x = x + blocks[i](x)`: numbered children, but out of action means zero."""

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(Mlp() for _ in range(3))
            self.head = linear()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = x + block(x)
            return self.head(x)

    model = weigh(Root())
    x = torch.randn(2, 5, WIDTH)
    for number in range(3):
        with bypass(model, f"blocks.{number}", inputs=x) as handle:
            assert [edit.op for edit in handle.plan] == ["zero"]
            hidden = x
            for other, block in enumerate(model.blocks):
                hidden = hidden if other == number else hidden + block(hidden)
            assert torch.equal(model(x), model.head(hidden))


class Excited(nn.Module):
    """Squeeze and excitation around a convolution, in a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return torch.relu(x + y * self.gate(y))


def test_a_broadcast_gate_becomes_one() -> None:
    model = weigh(nn.Sequential(Excited(), Excited(), Excited()))
    x = torch.randn(2, 8, 6, 6)
    anatomy = anatomy_of(model, x)
    assert anatomy.verdict("1.gate").role == "gate"
    assert anatomy.verdict("1.conv").role == "unproved"
    first, middle, last = model
    y = first(x)
    expected = last(torch.relu(y + middle.conv(y)))
    with bypass(model, "1.gate", inputs=x):
        assert torch.equal(model(x), expected)


def test_the_halves_of_a_gated_unit_are_alike_and_so_asked_for() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.out = linear(), linear(), linear()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.out(torch.sigmoid(self.left(x)) * self.right(x))

    assert roles(Gated, "left", "right", "out") == ["unproved", "unproved", "branch"]


def test_a_resnet_block() -> None:
    """bn2 ends the branch; conv2 comes before a norm with statistics of its own; the downsample is asked for."""
    entry = case("resnet")
    model = entry.build()
    anatomy = anatomy_of(model, entry.inputs(model))
    assert anatomy.verdict("layer1.1.bn2").role == "branch"
    assert anatomy.verdict("layer1.1.conv2").role == "unproved"
    with pytest.raises(RoleError):
        bypass(model, "layer2.0.downsample.0", inputs=entry.inputs(model))
    with pytest.raises(RoleError) as error:
        bypass(model, "layer1.1.conv2", inputs=entry.inputs(model))
    assert str(error.value) == (
        '"layer1.1.conv2" is neither a block nor a proved residual branch. '
        'Say which you mean: as_="identity" or as_="zero".'
    )


def test_dense_concatenation_is_refused() -> None:
    """A DenseNet layer's output is joined to the stream, not put in its place."""

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(WIDTH + 4 * number, 4) for number in range(3))
            self.head = nn.Linear(WIDTH + 12, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = torch.cat([x, torch.relu(layer(x))], dim=-1)
            return self.head(x)

    model = weigh(Dense())
    found = sites(model, torch.randn(3, WIDTH), at="layers.*")
    assert [site.role for site in found] == ["unproved"] * 3
    with pytest.raises(RoleError) as error:
        bypass(model, "layers.1", inputs=torch.randn(3, WIDTH))
    assert str(error.value) == (
        '"layers.1" takes 3x20 and returns 3x4: no input has its output\'s shape. '
        'Keep it, or replace it: as_="adapter" with data=[...].'
    )


def test_equal_widths_do_not_make_a_dense_layer_a_block() -> None:
    """Here even the shapes fit: the layer's output goes on beside the stream."""

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(linear() for _ in range(3))
            self.mix = nn.ModuleList(nn.Linear(2 * WIDTH, WIDTH) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer, mix in zip(self.layers, self.mix, strict=True):
                x = mix(torch.cat([x, layer(x)], dim=-1))
            return x

    found = sites(weigh(Joined()), torch.randn(3, WIDTH), at="layers.*")
    assert [site.role for site in found] == ["unproved"] * 3


def test_a_shortcut_around_a_numbered_layer_makes_it_no_block() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(linear() for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = torch.maximum(x, layer(x))
            return x

    found = sites(weigh(Around()), torch.randn(3, WIDTH), at="layers.*")
    assert [site.role for site in found] == ["unproved"] * 3
