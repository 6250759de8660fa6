"""Linear layers right behind one another become one, where that has no more weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from .held import done, left, names, picture, simplified


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
def test_linear_layers(biases: tuple[bool, bool]) -> None:
    model = nn.Sequential(nn.Linear(4, 8, biases[0]), nn.Dropout(), nn.Linear(8, 3, biases[1]), nn.ReLU()).eval()
    found = simplified(model, torch.randn(5, 4))
    assert names(model) == ["Linear", "ReLU"]
    assert done(found, "merge") == {"2": "0"}
    assert (model[0].in_features, model[0].out_features) == (4, 3)
    assert found.after.parameters == 12 + 3 * any(biases)


def test_three_of_them() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2), nn.Tanh()).eval()
    simplified(model, torch.randn(5, 4))
    assert names(model) == ["Linear", "Tanh"]


def test_a_narrow_layer_is_there_to_save_weights() -> None:
    model = nn.Sequential(nn.Linear(16, 2), nn.Linear(2, 16)).eval()
    assert simplified(model, torch.randn(5, 16)).rewrites == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 1)),
        (nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.Conv2d(8, 4, 1, bias=False)),
        (nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, 2)),
        (nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 4, 3, padding="same")),
        (nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular")),
    ],
)
def test_convolutions(first: nn.Module, second: nn.Module) -> None:
    model = nn.Sequential(first, second, nn.ReLU()).eval()
    found = simplified(model, picture())
    assert names(model) == ["Conv2d", "ReLU"]
    assert len(done(found, "merge")) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, padding=1)),  # its bias would be padded with zeros
        (nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)),
        (nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1, padding=1)),
        (nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1, 2)),
        (nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1, groups=2)),
        (nn.ConvTranspose2d(3, 8, 3), nn.Conv2d(8, 4, 1)),
    ],
)
def test_convolutions_that_are_no_one(first: nn.Module, second: nn.Module) -> None:
    found = simplified(nn.Sequential(first, second).eval(), picture())
    assert (found.rewrites, found.left) == ((), ())  # not even tried


def test_what_is_between_them_may_be_a_norm() -> None:
    from .held import trained

    model = trained(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3), nn.Softmax(-1)))
    found = simplified(model, torch.randn(5, 4))
    assert names(model) == ["Linear", "Softmax"]
    assert (done(found, "fold"), done(found, "merge")) == ({"1": "0"}, {"2": "0"})


def test_a_shared_layer_stays() -> None:
    linear = nn.Linear(4, 4)
    model = nn.Sequential(linear, linear, nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    simplified(model, torch.randn(5, 4))
    assert [type(each).__name__ for each in model] == ["Linear", "Linear", "ReLU", "Linear"]


def test_a_hook_between_stays_and_is_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    model[1].register_forward_pre_hook(lambda *_: None)
    assert simplified(model, torch.randn(5, 4)).rewrites == ()
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    model[2].bias = model[0].bias
    assert left(simplified(model, torch.randn(5, 4))) == dict.fromkeys("12", 'the bias of "0" is shared') | {
        "2": 'the bias of "2" is shared'
    }


def test_a_residual_addition_between_them_is_seen() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.one(x)
            return x + self.two(x)

    assert simplified(Net().eval(), torch.randn(5, 4)).rewrites == ()
