"""PreActResNet is the network of He et al. 2016, and computes what timm's does with the same weights."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.preact_resnet import PreActResNet
from nn.scrambled import scrambled


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_equal_to_timm(depth: int) -> None:
    timm = pytest.importorskip("timm")
    theirs = scrambled(timm.create_model(f"resnetv2_{depth}", num_classes=7)).eval()
    ours = PreActResNet(depth, classes=7).load_reference(theirs.state_dict()).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs(x)
        # its last layer is a convolution, which adds up in another order
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
    theirs.load_state_dict(ours.reference_state_dict())


def test_the_formula_of_the_paper() -> None:
    net: Any = scrambled(PreActResNet(18, classes=3)).double().eval()
    x = torch.randn(2, 3, 64, 64).double()
    h = net.stem.pool(net.stem.conv(x))
    for stage in net.body:
        for block in stage:
            part = block.branch
            ready = torch.relu(block.preactivation.norm1(h))
            skip = block.shortcut(ready) if isinstance(block.shortcut, nn.Conv2d) else h
            h = skip + part.conv2(torch.relu(part.norm2(part.conv1(ready))))
    expected = net.head.linear(torch.relu(net.head.norm(h)).mean(dim=(2, 3)))
    torch.testing.assert_close(net(x), expected)


def test_nothing_is_applied_to_the_sum() -> None:
    """With all branches at zero, what goes into stage1 leaves it unchanged, negative values too."""
    net: Any = PreActResNet(18)
    for block in net.body.stage1:
        nn.init.zeros_(block.branch.conv2.weight)
    x = torch.randn(2, 64, 8, 8)
    assert torch.equal(net.body.stage1(x), x)


# torchvision's count less what the norms lose: none in the stem and the projections, more in front of the blocks
@pytest.mark.parametrize(("depth", "count"), [(18, 11_687_720), (34, 21_795_880), (50, 25_549_352)])
def test_as_many_parameters_as_timm(depth: int, count: int) -> None:
    with torch.device("meta"):
        net = PreActResNet(depth)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize(
    ("depth", "options", "text"),
    [
        (20, {}, "PreActResNet: no depth=20; there are 18, 34, 50, 101 and 152. Use depth=18."),
        (18, {"channels": 0}, "PreActResNet: channels=0 is no whole number from 1 on. Use channels=1 or more."),
    ],
)
def test_sizes_that_cannot_be(depth: int, options: dict[str, Any], text: str) -> None:
    with pytest.raises(BlockError, match=f"^{re.escape(text)}$"):
        PreActResNet(depth, **options)
