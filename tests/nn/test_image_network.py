"""The laws of every network for images: copied, saved, compiled, exported and taken apart without a change."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import BlockError
from identikit.nn import CifarResNet, DenseNet, PreActResNet, ResNet
from identikit.nn.image_network import ImageNetwork

NETWORKS: dict[str, Callable[[], ImageNetwork]] = {
    "cifar": lambda: CifarResNet(8, width=4),
    "resnet": lambda: ResNet(18, classes=4),
    "bottleneck": lambda: ResNet(50, classes=4, groups=8, width_per_group=8),
    "preact": lambda: PreActResNet(18, classes=4),
    "densenet": lambda: DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=6, num_classes=4, drop_rate=0.1),
}
MADE_FOR = "made for images [N, 3, height, width]"
each_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
# every whole block that keeps its shape; the layers of a DenseNet all widen what they are given
BLOCKS = {
    "cifar": ["body.stage1.0"],
    "resnet": [f"body.{place}" for place in ("stage1.0", "stage1.1", "stage2.1", "stage3.1", "stage4.1")],
    "preact": [f"body.{place}" for place in ("stage1.0", "stage1.1", "stage2.1", "stage3.1", "stage4.1")],
    "densenet": [],
}


def images(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, size, size)


@each_network
def test_copied_pickled_and_loaded(make: Callable[[], ImageNetwork]) -> None:
    net, x = make().eval(), images()
    expected = net(x)
    assert torch.equal(copy.deepcopy(net)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(x), expected)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = make().eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), expected)


@each_network
def test_compiled_and_exported_whole(make: Callable[[], ImageNetwork]) -> None:
    net, x, free = make().eval(), images(64), torch.export.Dim.DYNAMIC
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), net(x))
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    other = torch.randn(3, 3, 72, 80)
    torch.testing.assert_close(exported(other), net(other))


@each_network
def test_traced_and_built_without_memory(make: Callable[[], ImageNetwork]) -> None:
    net, x = make().eval(), images()
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(x), net(x))
    with torch.device("meta"):
        assert make()(images()).shape == net(x).shape
    assert net.double()(x.double()).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net.float()(x).dtype == net(x.bfloat16()).dtype == torch.bfloat16


@each_network
def test_fresh_weights_again(make: Callable[[], ImageNetwork]) -> None:
    net = make()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(3)
    net.reset_parameters()
    assert all(parameter.detach().ne(3).all() for parameter in net.parameters())
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_blocks_that_keep_their_shape_are_sites(name: str) -> None:
    net = NETWORKS[name]().eval()
    assert [site.path for site in ik.sites(net, images()) if site.ok] == BLOCKS[name]


@pytest.mark.parametrize("name", [name for name, blocks in BLOCKS.items() if blocks])
def test_a_block_bypassed_and_removed(name: str) -> None:
    net, x = NETWORKS[name]().eval(), images()
    full = net(x)
    with ik.bypass(net, BLOCKS[name][-1], inputs=x):
        bypassed = net(x)
    assert not torch.equal(bypassed, full)
    assert torch.equal(net(x), full)
    ik.remove(net, BLOCKS[name][-1], inputs=x)
    assert torch.equal(net(x), bypassed)


def test_a_scan() -> None:
    net = CifarResNet(14, width=4).eval()
    rows = ik.scan(net, [images(), images()], progress=False).rows
    places = [row.places[0] for row in rows]
    assert places == ["body.stage1.0", "body.stage1.1", "body.stage2.1", "body.stage3.1"]


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (torch.zeros(3, 32, 32), f"{MADE_FOR}, called with 3x32x32. For one image use images[None]."),
        (
            torch.zeros(2, 32, 32, 3),
            f"{MADE_FOR}, called with 2x32x32x3. The channels come last: use images.permute(0, 3, 1, 2).",
        ),
        (
            torch.zeros(2, 1, 32, 32),
            f"{MADE_FOR}, called with 2x1x32x32. Build it with channels=1, or give it 3 channels.",
        ),
        (torch.zeros(32), f"{MADE_FOR}, called with 32. Bring them into that shape."),
        (
            torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
            "the images hold torch.uint8, not floating numbers. Use images.float() / 255, normalised as in training.",
        ),
        (
            torch.zeros(2, 3, 32, 32, dtype=torch.float64),
            "the images hold torch.float64, the weights torch.float32. Use images.to(torch.float32).",
        ),
        (np.zeros((2, 3, 32, 32)), "called with a ndarray, not a tensor. Use torch.as_tensor(images)."),
        ([torch.zeros(3, 32, 32)], "called with a list, not a tensor. Use torch.as_tensor(images)."),
    ],
)
def test_what_is_no_batch_of_images(x: Any, text: str) -> None:
    with pytest.raises(BlockError, match=f"^{re.escape('CifarResNet: ' + text)}$"):
        CifarResNet(8, width=4)(x)
