"""Norms and scales folded into the layer before them, or behind: every kind of layer, weights and statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import identikit as ik

from .held import done, left, names, picture, simplified, trained

SHAPES = {1: (2, 4, 9), 2: (2, 4, 7, 9), 3: (2, 4, 5, 6, 7)}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kinds", [CONVOLUTIONS, TRANSPOSED])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_into_a_convolution(dims: int, kinds: dict[int, type[nn.Module]], bias: bool, groups: int) -> None:
    layer = kinds[dims](4, 6, 3, stride=2, padding=1, groups=groups, bias=bias)
    model = trained(nn.Sequential(layer, NORMS[dims](6), nn.ReLU()))
    found = simplified(model, torch.randn(SHAPES[dims]))
    assert names(model) == [type(layer).__name__, "ReLU"]
    assert done(found, "fold") == {"1": "0"}
    assert found.after.parameters == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_what_is_padded_makes_no_difference_to_a_norm_behind(mode: str) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode), nn.BatchNorm2d(4)))
    assert done(simplified(model, picture()), "fold") == {"1": "0"}


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4)])
def test_into_a_linear_layer(shape: tuple[int, ...]) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma, self.beta = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.gamma + self.beta

    model = nn.Sequential(nn.Linear(4, 6, bias=False), Scale(), nn.GELU()).eval()
    assert done(simplified(model, torch.randn(shape)), "fold") == {"1": "0"}
    assert names(model) == ["Linear", "GELU"]


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, eps=0.1),
        nn.SyncBatchNorm(4),
    ],
)
def test_every_norm_with_running_statistics(norm: nn.Module) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), norm))
    assert done(simplified(model, picture()), "fold") == {"1": "0"}


def test_a_frozen_norm_of_another_library() -> None:
    from torchvision.ops import FrozenBatchNorm2d

    norm = FrozenBatchNorm2d(4)
    norm.weight.uniform_(0.5, 1.5)
    norm.running_mean.normal_()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm).eval()
    assert done(simplified(model, picture()), "fold") == {"1": "0"}


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(4, track_running_stats=False), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)]
)
def test_a_norm_by_statistics_of_the_batch_stays(norm: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm).eval()
    assert simplified(model, picture()).rewrites == ()
    assert model[1] is norm


def test_through_identities_and_dropouts() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop, self.skip = nn.Conv2d(3, 4, 3), nn.Dropout2d(0.5), nn.Identity()
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.norm(self.skip(self.drop(self.conv(x)))))

    model = trained(Net())
    assert done(simplified(model, picture()), "fold") == {"norm": "conv"}
    assert names(model) == ["Conv2d", "Identity", "Identity", "Identity"]


def test_into_the_layer_behind() -> None:
    model = trained(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3, bias=False)))
    assert done(simplified(model, torch.randn(5, 4)), "fold") == {"1": "2"}
    model = trained(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, groups=2)))
    assert done(simplified(model, picture(4)), "fold") == {"1": "2"}


def test_padded_zeros_are_not_shifted() -> None:
    model = trained(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1)))
    found = simplified(model, picture(4))
    assert left(found) == {"1": '"2" pads zeros, which a shift before it does not reach'}
    model = trained(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 3)))
    assert list(left(simplified(model, picture(4)))) == ["1"]
    model = trained(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")))
    assert done(simplified(model, picture(4)), "fold") == {"1": "2"}


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ConvTranspose2d(4, 6, 3, 2, groups=2)])
def test_a_scale_without_a_shift_passes_through_padding(layer: nn.Module) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = nn.Parameter(torch.rand(4, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.gamma

    model = nn.Sequential(nn.ReLU(), Scale(), layer).eval()
    assert done(simplified(model, picture(4)), "fold") == {"1": "2"}


def test_what_a_norm_does_besides_stays() -> None:
    from timm.layers import BatchNormAct2d

    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), BatchNormAct2d(4)))
    found = simplified(model, picture())
    assert names(model) == ["Conv2d", "ReLU"]
    assert found.rewrites[-1].said == "folded into 0; act of it stays"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())).to(dtype)
    found = simplified(model, picture().to(dtype))
    assert done(found, "fold") == {"1": "0"}
    assert {value.dtype for value in model.parameters()} == {dtype}


def test_what_is_frozen_stays_frozen() -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)))
    model[0].weight.requires_grad_(False)
    simplified(model, picture())
    assert [value.requires_grad for value in model.parameters()] == [False, True, True, True]
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))).requires_grad_(False)
    simplified(model, picture())
    assert [value.requires_grad for value in model.parameters()] == [False, False]


def test_channels_last_stays() -> None:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).to(memory_format=torch.channels_last)
    ik.simplify(model, picture())
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
