"""The residual network for CIFAR-10: three stages of basic blocks behind one small convolution."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from identikit.errors import BlockError
from identikit.nn.counts import check_counts
from identikit.nn.image_network import ImageNetwork, pooled_head, stages
from identikit.nn.keys import KeyMap
from identikit.nn.residual_block import residual_block


class CifarResNet(ImageNetwork):
    """ResNet-20, 32, 44, 56, 110 for images of 32x32: `depth = 6n + 2`, with `n` blocks in each of three stages.

    Args:
        depth: layers with weights along the way from image to score.
        shortcut: where sizes change: "pad" as in the paper's table 6 (option A) or "project" (B); "project_all" (C): in
            every block.
        pad_side: where "pad" puts the zeros. It must be where they were in training: the public weights of ResNet-20
            name 80.4 % of 1,000 test images with "both", 15.0 % with "behind" (benchmarks/cifar.py).
        classes: how many scores come out.
        width: features of the first stage; they double in the second and in the third.
        channels: of the images.

    Shape:
        `[N, channels, height, width]` to `[N, classes]`.

    Raises:
        BlockError: for a depth that is not 6n + 2 and sizes below 1.

    Source: He et al. 2015, arXiv 1512.03385, section 4.2. `load_reference` takes the weights of
    akamaster/pytorch_resnet_cifar10; their images are normalised with mean .485 .456 .406, deviation .229 .224 .225.

    Example:
        >>> CifarResNet(20)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    reference = KeyMap(
        "akamaster/pytorch_resnet_cifar10",
        (
            ("stem.conv", "conv1"),
            ("stem.norm", "bn1"),
            ("body.stage{s}.{b}.branch.conv{n}", "layer{s}.{b}.conv{n}"),
            ("body.stage{s}.{b}.branch.norm{n}", "layer{s}.{b}.bn{n}"),
            ("body.stage{s}.{b}.shortcut.{n}", "layer{s}.{b}.shortcut.{n}"),
            ("head.linear", "linear"),
        ),
    )

    def __init__(
        self,
        depth: int,
        *,
        shortcut: str = "pad",
        pad_side: str = "both",
        classes: int = 10,
        width: int = 16,
        channels: int = 3,
    ) -> None:
        check_counts("CifarResNet", depth=depth, classes=classes, width=width, channels=channels)
        blocks, rest = divmod(depth - 2, 6)
        if rest or not blocks:
            nearest = 6 * max(1, round((depth - 2) / 6)) + 2
            raise BlockError(f"CifarResNet: depth={depth} is not 6n + 2. Use {nearest}; ResNet has 18 to 152.")

        def block(into: int, out: int, stride: int) -> nn.Module:
            return residual_block(into, out, stride=stride, shortcut=shortcut, pad_side=pad_side)

        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        super().__init__(
            nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(width), activation=nn.ReLU())),
            stages(block, width, (width, 2 * width, 4 * width), (blocks,) * 3),
            pooled_head(4 * width, classes),
            channels=channels,
        )
        self.reset_parameters()
