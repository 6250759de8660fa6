"""CifarResNet is the network of the paper, and names as many images right as the public weights do."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.cifar_resnet import CifarResNet
from identikit.nn.shortcuts import PadShortcut

DATA = Path(os.environ.get("IDENTIKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
with_weights = pytest.mark.skipif(
    not (DATA / "cifar10-test-1000.npz").is_file(),
    reason=f"the CIFAR-10 images and weights are not at {DATA}; IDENTIKIT_DATA names another folder",
)
WEIGHTS = {20: "resnet20-12fca82f.th", 32: "resnet32-d509ac18.th"}


def public(depth: int, **options: Any) -> CifarResNet:
    checkpoint = torch.load(DATA / WEIGHTS[depth], map_location="cpu", weights_only=True)
    return CifarResNet(depth, **options).load_reference(checkpoint["state_dict"]).eval()


def images_named_right(net: nn.Module) -> int:
    """Of the 1,000 images, normalised as they were in training."""
    import numpy as np

    with np.load(DATA / "cifar10-test-1000.npz") as held:
        pixels, labels = torch.from_numpy(held["images"]), torch.from_numpy(held["labels"])
    x = pixels.permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        return sum(
            int((net(part).argmax(1) == truth).sum())
            for part, truth in zip(x.split(100), labels.split(100), strict=True)
        )


@with_weights
@pytest.mark.parametrize(("depth", "right"), [(20, 804), (32, 840)])
def test_the_public_weights_score_what_they_do_elsewhere(depth: int, right: int) -> None:
    assert images_named_right(public(depth)) == right


@with_weights
@pytest.mark.parametrize("pad_side", ["front", "behind"])
def test_zeros_on_the_wrong_side_lose_sixty_points(pad_side: str) -> None:
    assert images_named_right(public(20, pad_side=pad_side)) < 204


# table 6 of the paper: 0.27, 0.46, 0.66, 0.85, 1.7 million
@pytest.mark.parametrize(
    ("depth", "count"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_as_many_parameters_as_published(depth: int, count: int) -> None:
    net = CifarResNet(depth)
    assert sum(parameter.numel() for parameter in net.parameters()) == count
    layers = [each for each in net.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_the_formula_of_the_paper() -> None:
    net, x = CifarResNet(8, width=4).eval(), torch.randn(2, 3, 8, 8)
    h = torch.relu(net.stem.norm(net.stem.conv(x)))  # type: ignore[union-attr,operator]
    for stage in net.body.children():
        for block in stage.children():
            part: Any = block.branch
            out = part.norm2(part.conv2(torch.relu(part.norm1(part.conv1(h)))))
            if isinstance(block.shortcut, PadShortcut):  # half of the new features lie on either side
                new = torch.zeros(2, h.shape[1] // 2, *out.shape[2:])
                h = torch.cat([new, h[:, :, ::2, ::2], new], dim=1)
            h = torch.relu(out + h)
    expected = net.head.linear(h.mean(dim=(2, 3)))  # type: ignore[union-attr,operator]
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(("shortcut", "projections"), [("pad", 0), ("project", 2), ("project_all", 9)])
def test_the_options_of_the_paper(shortcut: str, projections: int) -> None:
    net = CifarResNet(20, shortcut=shortcut)
    found = [each for each in net.modules() if isinstance(each, nn.Conv2d) and each.kernel_size == (1, 1)]
    assert len(found) == projections
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("depth", "options", "text"),
    [
        (18, {}, "CifarResNet: depth=18 is not 6n + 2. Use 20; ResNet has 18 to 152."),
        (2, {}, "CifarResNet: depth=2 is not 6n + 2. Use 8; ResNet has 18 to 152."),
        (20, {"classes": 0}, "CifarResNet: classes=0 is no whole number from 1 on. Use classes=1 or more."),
        (20, {"width": 1.5}, "CifarResNet: width=1.5 is no whole number from 1 on. Use width=1 or more."),
        (20, {"shortcut": "identity"},
         'Residual: the branch maps 16 to 32 features but the shortcut is the identity. Use shortcut="project" '
         '(adds 576 parameters) or shortcut="pad".'),
        (20, {"pad_side": "left"}, 'Residual: no pad_side="left". Use one of "both", "front", "behind".'),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be(depth: int, options: dict[str, Any], text: str) -> None:
    with pytest.raises(BlockError, match=f"^{re.escape(text)}$"):
        CifarResNet(depth, **options)


@pytest.mark.parametrize("pad_side", ["both", "front", "behind"])
def test_the_side_of_the_zeros_is_the_one_asked_for(pad_side: str) -> None:
    net = CifarResNet(8, width=4, pad_side=pad_side)
    assert [each.side for each in net.modules() if isinstance(each, PadShortcut)] == [pad_side, pad_side]
