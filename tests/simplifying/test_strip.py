"""Layers that change nothing go, whatever they are called; those that only seem to on one shape stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import identikit as ik

from .held import done, left, names, picture, simplified, trained


class Scale(nn.Module):
    def __init__(self, value: float, size: int = 4) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((size,), value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class Even(nn.Module):
    """Leaves out the last feature of an odd number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, : x.shape[1] // 2 * 2]


def library_layers() -> list[nn.Module]:
    from timm.layers import DropBlock2d, DropPath
    from torchvision.ops import StochasticDepth

    return [DropPath(0.3), DropBlock2d(0.2), StochasticDepth(0.3, "row")]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Identity(), nn.Dropout(), nn.Dropout2d(inplace=True), nn.AlphaDropout(), nn.Sequential(),
        nn.FeatureAlphaDropout(), nn.Sequential(nn.Identity(), nn.Dropout()), ik.nn.Identity(), ik.nn.Pass(),
        ik.nn.StochasticDepth(0.3), ik.nn.LayerScale(4, init=1.0, dims=2), *library_layers(),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_out_of_a_sequential(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
    found = simplified(model, picture())
    assert done(found, "strip") == {"1": ""}
    assert [name for name, _ in model.named_children()] == ["0", "2", "3"]  # the others keep their names
    assert found.before.modules - found.after.modules == sum(1 for _ in layer.modules())


def test_scales_of_one() -> None:
    model = nn.Sequential(nn.ReLU(), Scale(1.0), nn.ReLU(), Scale(2.0), nn.ReLU()).eval()
    found = simplified(model, torch.randn(3, 4))
    assert done(found, "strip") == {"1": ""}
    assert found.before.parameters - found.after.parameters == 4


def test_called_by_name() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.drop, self.last = nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.drop(self.first(x))))

    model = Net().eval()
    found = simplified(model, torch.randn(3, 4))
    assert [each.said for each in found.rewrites] == ["an nn.Identity stands in its place"]
    assert names(model) == ["Linear", "Identity", "Linear"]
    assert found.same_state


def test_numbers_that_the_parent_uses_stay() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Tanh(), nn.Linear(4, 4))
            self.more = nn.ModuleList([nn.Dropout(), nn.Tanh()])

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            kept = []
            for number, layer in enumerate(self.layers):
                x = layer(x)
                if number == 2:
                    kept.append(x)
            for layer in self.more:
                x = layer(x)
            return (x, *kept)

    model = Net().eval()
    simplified(model, torch.randn(3, 4))
    assert names(model) == ["Linear", "Identity", "Tanh", "Linear", "Identity", "Tanh"]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.AdaptiveAvgPool2d(1), (2, 4, 1, 1)),
        (nn.AdaptiveAvgPool2d(3), (2, 4, 3, 3)),
        (nn.Flatten(1), (2, 4)),
        (nn.AvgPool2d(3, 1, 1), (2, 4, 1, 1)),
        (nn.Upsample((3, 3)), (2, 4, 3, 3)),
        (nn.Hardtanh(-1e6, 1e6), (2, 4)),
        (nn.Softmax(0), (1, 4)),
        (nn.ChannelShuffle(2), (2, 2, 3, 3)),
        (Even(), (2, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_changes_nothing_on_this_shape_stays(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """A pooling of one value, a flattening of what is flat: on another shape they do something."""
    model = nn.Sequential(nn.ReLU(), layer).eval()
    found = ik.simplified(ik.simplify(model, torch.rand(shape)))
    assert found is not None
    assert found.rewrites == ()
    wide = shape[1]
    before = nn.Linear(wide, wide) if len(shape) == 2 else nn.Conv2d(wide, wide, 1)
    model = nn.Sequential(before, layer, nn.ReLU(), before.__class__(*([wide] * 2), *([1] * (len(shape) - 2)))).eval()
    ik.simplify(model, torch.rand(shape))
    assert model[1] is layer


def test_a_layer_that_notes_what_passes_stays() -> None:
    class Tap(nn.Module):
        seen: list[torch.Tensor]

        def __init__(self) -> None:
            super().__init__()
            self.seen = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.append(x)
            return x

    model = nn.Sequential(nn.Linear(4, 4), Tap(), nn.ReLU()).eval()
    assert simplified(model, torch.randn(3, 4)).rewrites == ()


def test_hooks_and_shared_layers_stay_and_are_named() -> None:
    drop = nn.Dropout()
    model = nn.Sequential(nn.Linear(4, 4), drop, nn.ReLU(), nn.Dropout(), nn.Linear(4, 4), drop).eval()
    model[3].register_forward_hook(lambda *_: None)
    found = simplified(model, torch.randn(3, 4))
    assert left(found) == {"1": '"1" stands in 2 places', "3": '"3" has a hook'}


def test_where_only_a_copy_kept_a_skip_whole_it_is_put_back() -> None:
    """The scale makes a copy, which `+=` writes into; without it the skip would be written into."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.scale = nn.Linear(4, 4), Scale(1.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.linear(x)
            y = self.scale(x)
            y += 1
            return x * y

    model = Net().eval()
    found = simplified(model, torch.randn(3, 4))
    assert left(found) == {"scale": "the outputs were not equal without it, so it was put back"}
    assert isinstance(model.scale, Scale)


def test_an_attribute_that_the_parent_reads_is_missed_and_the_layer_put_back() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.drop(self.norm(x)) * self.drop.p

    model = Net().eval()
    assert list(left(simplified(model, torch.randn(3, 4)))) == ["drop"]
    assert isinstance(model.drop, nn.Dropout)


def test_an_inserted_layer_that_may_learn_is_no_neutral_one() -> None:
    linear = nn.Linear(4, 4)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    model = nn.Sequential(nn.ReLU(), linear, nn.ReLU()).eval()
    assert simplified(model, torch.randn(3, 4)).rewrites == ()


def test_twice_is_once() -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.BatchNorm2d(4), nn.ReLU()))
    first = simplified(model, picture())
    ik.simplify(model, picture())
    again = ik.simplified(model)
    assert again is not None
    assert again.rewrites == first.rewrites
    assert again.before == first.before
    assert not again.same_state
