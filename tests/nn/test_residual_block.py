"""The usual blocks, from sizes: each equals the same block written by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import residual_block


class ByHand(nn.Module):
    """A basic block as tutorials write it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.parts = dict(block.branch.named_children())
        self.down = block.shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        part = self.parts
        y = torch.relu(part["norm1"](part["conv1"](x)))
        y = part["norm2"](part["conv2"](y))
        return torch.relu(y + self.down(x))


@pytest.mark.parametrize(("into", "out", "stride"), [(4, 4, 1), (4, 8, 2), (4, 4, 2), (4, 8, 1)])
def test_basic_is_the_block_of_the_paper(into: int, out: int, stride: int) -> None:
    block = residual_block(into, out, stride=stride).train()
    x = torch.randn(2, into, 6, 6)
    torch.testing.assert_close(block(x), ByHand(block)(x))
    assert block.branch.conv1.bias is None
    assert block.branch.conv1.stride == (stride, stride)


def test_bottleneck_narrows_and_strides_in_the_middle() -> None:
    block = residual_block(64, 256, kind="bottleneck", stride=2)
    names = [name for name, _ in block.branch.named_children()]
    assert names == ["conv1", "norm1", "activation1", "conv2", "norm2", "activation2", "conv3", "norm3"]
    sizes = [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in block.branch if hasattr(c, "stride")
    ]
    assert sizes == [(64, 64, 1, 1), (64, 64, 3, 2), (64, 256, 1, 1)]


def test_preact_norms_first_and_leaves_the_skip_alone() -> None:
    block = residual_block(4, 4, kind="preact").eval()
    x = torch.randn(2, 4, 5, 5)
    before = torch.relu(block.preactivation.norm1(x))
    torch.testing.assert_close(block(x), x + block.branch(before))
    assert block.activation is None
    wider = residual_block(4, 8, kind="preact", stride=2).eval()
    assert type(wider.shortcut) is nn.Conv2d, "nothing normalises the sum"
    assert wider.shortcut.bias is None
    shared = wider.preactivation(x)
    torch.testing.assert_close(wider(x), wider.branch(shared) + wider.shortcut(shared))


def test_mlp_is_the_block_of_the_tabular_resnet() -> None:
    block = residual_block(6, 6, kind="mlp", hidden=9, norm=nn.BatchNorm1d, dropout=0.3)
    names = [name for name, _ in block.branch.named_children()]
    assert names == ["norm", "linear1", "activation", "dropout1", "linear2", "dropout2"]
    assert block.branch.linear1.out_features == 9
    assert block(torch.randn(5, 6)).shape == (5, 6)
    assert residual_block(6, 8, kind="mlp")(torch.randn(5, 3, 6)).shape == (5, 3, 8)


@pytest.mark.parametrize("kind", ["basic", "bottleneck", "preact", "preact_bottleneck"])
@pytest.mark.parametrize("dims", [0, 1, 2, 3])
@pytest.mark.parametrize("shortcut", ["pad", "project", "project_all"])
def test_every_kind_in_every_dimension(kind: str, dims: int, shortcut: str) -> None:
    stride = 2 if dims else 1
    block = residual_block(4, 8, kind=kind, dims=dims, stride=stride, shortcut=shortcut)
    assert block(torch.randn(3, 4, *[5] * dims)).shape == (3, 8, *[3] * dims)


def test_groups_dilation_kernel_and_norm_are_used() -> None:
    block = residual_block(8, 8, kernel_size=5, dilation=2, groups=4, norm=partial(nn.GroupNorm, 2), activation=nn.SiLU)
    conv = block.branch.conv2
    assert (conv.kernel_size, conv.dilation, conv.padding, conv.groups) == ((5, 5), (2, 2), (4, 4), 4)
    assert type(block.branch.norm2) is nn.GroupNorm
    assert type(block.activation) is type(block.branch.activation1) is nn.SiLU
    assert block(torch.randn(1, 8, 9, 9)).shape == (1, 8, 9, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"shortcut": "identity"},
            "Residual: the branch maps 4 to 8 features but the shortcut is the identity. "
            'Use shortcut="project" (adds 48 parameters) or shortcut="pad".',
        ),
        (
            {"kind": "basics"},
            'residual_block: no kind="basics". Did you mean "basic"? Use one of "basic", "bottleneck", "preact", '
            '"preact_bottleneck", "mlp".',
        ),
        (
            {"kernel_size": 4},
            "residual_block: kernel_size=4 cannot keep the size, so the shortcut would not fit. Use 5 or 3.",
        ),
        (
            {"kind": "mlp", "dims": 2},
            'residual_block: kind="mlp" takes features last, not dims=2. Use dims=0, or kind="basic".',
        ),
        (
            {"dropout": 0.1},
            'residual_block: kind="basic" has no dropout. Use kind="mlp", or StochasticDepth in a branch.',
        ),
        (
            {"kernel_size": -1},
            "residual_block: kernel_size=-1 is no whole number from 1 on. Use kernel_size=1 or more.",
        ),
        ({"hidden": 0}, "residual_block: hidden=0 is no whole number from 1 on. Use hidden=1 or more."),
        (
            {"groups": 3},
            "residual_block: groups=3 divides 4 and 8 features into no whole parts. Use a number that divides both.",
        ),
        (
            {"kind": "mlp", "dropout": 1.5},
            "residual_block: dropout=1.5 is no share from 0 up to 1, such as 0.1.",
        ),
        (
            {"activation": nn.ReLU()},
            "residual_block: activation= is a ReLU that is already made, and every place needs its own. Give what "
            "makes "
            "it: activation=nn.ReLU.",
        ),
        (
            {"norm": nn.BatchNorm2d(8)},
            "residual_block: norm= is a BatchNorm2d that is already made, and every place needs its own. Give what "
            "makes "
            "it: norm=nn.BatchNorm2d.",
        ),
        (
            {"dims": 0, "groups": 2},
            "residual_block: groups= and dilation= belong to convolutions. Say dims=1, 2 or 3.",
        ),
        (
            {"dims": 0, "stride": 2},
            "residual_block: stride=2 needs a spatial dimension to stride over. Say dims=1, 2 or 3.",
        ),
    ],
)
def test_what_it_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BlockError) as error:
        residual_block(4, 8, **arguments)
    assert str(error.value) == message
