"""ResNet computes what torchvision's does with the same weights, its gradients too."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.residual import Residual
from identikit.nn.resnet import ResNet
from nn.scrambled import scrambled

tv: Any = pytest.importorskip("torchvision").models


@pytest.mark.parametrize(
    ("name", "depth", "options"),
    [
        ("resnet18", 18, {}),
        ("resnet34", 34, {}),
        ("resnet50", 50, {}),
        ("resnext50_32x4d", 50, {"groups": 32, "width_per_group": 4}),
        ("resnet101", 101, {}),
        ("resnet152", 152, {}),
        ("wide_resnet50_2", 50, {"width_per_group": 128}),
        ("resnext101_64x4d", 101, {"groups": 64, "width_per_group": 4}),
    ],
)
def test_equal_to_torchvision(name: str, depth: int, options: dict[str, Any]) -> None:
    theirs = scrambled(getattr(tv, name)(weights=None, num_classes=7)).eval()
    ours = ResNet(depth, classes=7, **options).load_reference(theirs.state_dict()).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    written = ours.reference_state_dict()
    assert list(written) == list(theirs.state_dict())
    theirs.load_state_dict(written)  # and torchvision takes them back


@pytest.mark.parametrize(("name", "depth"), [("resnet18", 18), ("resnet50", 50)])
def test_gradients_and_statistics_equal_torchvision(name: str, depth: int) -> None:
    theirs = scrambled(getattr(tv, name)(weights=None, num_classes=7))
    ours = ResNet(depth, classes=7).load_reference(theirs.state_dict())
    one = torch.randn(2, 3, 64, 64, requires_grad=True)
    other = one.detach().clone().requires_grad_()
    ours(one).square().sum().backward()
    theirs(other).square().sum().backward()
    assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    gradients = {key: parameter.grad for key, parameter in theirs.named_parameters()}
    for key, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, gradients[ours.reference.theirs(key)[0]]), key  # type: ignore[arg-type]
    statistics = theirs.state_dict()
    assert all(torch.equal(value, statistics[key]) for key, value in ours.reference_state_dict().items())


@pytest.mark.parametrize(
    ("depth", "count"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_as_many_parameters_as_published(depth: int, count: int) -> None:
    with torch.device("meta"):
        net = ResNet(depth)
    assert sum(parameter.numel() for parameter in net.parameters()) == count
    assert f"{count:,} parameters" in repr(net)


def test_blocks_that_start_as_the_identity() -> None:
    net = ResNet(50, zero_init_residual=True)
    block: Any = net.body.stage1[1]  # type: ignore[union-attr,index]
    x = torch.rand(1, 256, 4, 4)
    assert torch.equal(block(x), x)
    fresh = ResNet(18)
    assert all(each.branch.norm2.weight.all() for each in fresh.modules() if isinstance(each, Residual))  # type: ignore[union-attr,operator]


@pytest.mark.parametrize(("shortcut", "projections"), [("pad", 0), ("project", 3), ("project_all", 8)])
def test_the_options_of_the_paper(shortcut: str, projections: int) -> None:
    net = ResNet(18, shortcut=shortcut, classes=2, channels=1)
    found = [each for each in net.modules() if isinstance(each, nn.Conv2d) and each.kernel_size == (1, 1)]
    assert len(found) == projections
    assert net(torch.randn(2, 1, 64, 64)).shape == (2, 2)


@pytest.mark.parametrize(
    ("depth", "options", "text"),
    [
        (20, {}, "ResNet: no depth=20; there are 18, 34, 50, 101 and 152. Use depth=18."),
        ("18", {}, "ResNet: depth='18' is no whole number from 1 on. Use depth=1 or more."),
        (18, {"groups": 32}, "ResNet: groups=32 and width_per_group=64 are for bottlenecks, and depth=18 "
         "has basic blocks. Use depth=50, 101 or 152."),
        (50, {"classes": -1}, "ResNet: classes=-1 is no whole number from 1 on. Use classes=1 or more."),
        (50, {"width_per_group": 0},
         "ResNet: width_per_group=0 is no whole number from 1 on. Use width_per_group=1 or more."),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(depth: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(BlockError, match=f"^{re.escape(text)}$"):
        ResNet(depth, **options)


def test_weights_of_another_depth() -> None:
    with pytest.raises(BlockError) as refused:
        ResNet(18).load_reference(tv.resnet34(weights=None).state_dict())
    assert str(refused.value) == (
        'ResNet: unknown key "layer1.2.conv1.weight" in a state dict of torchvision. '
        'Did you mean "layer1.1.conv1.weight"? Give a whole state dict, to a network of its depth and options.'
    )
