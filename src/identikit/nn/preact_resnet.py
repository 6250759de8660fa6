"""The pre-activation residual network for ImageNet: norm and activation before each convolution, none on the sum."""

from __future__ import annotations

from torch import nn

from identikit.nn.counts import check_counts
from identikit.nn.image_network import ImageNetwork, imagenet_stem, pooled_head, stages
from identikit.nn.keys import KeyMap
from identikit.nn.residual_block import residual_block
from identikit.nn.resnet import WIDTHS, known_depth


class PreActResNet(ImageNetwork):
    """ResNet with norm and activation moved to the front of each convolution: nothing is applied to the sum.

    The blocks begin with norm and activation, so the stem has none; they leave a bare sum, so the head begins with them
    too. Where sizes change, the shortcut is a bare convolution of the block's preactivated input.

    Args:
        depth: 18 and 34 have two convolutions of 3x3 a block; 50, 101 and 152 bottlenecks, the stride in the middle.
        classes: how many scores come out.
        channels: of the images.

    Shape:
        `[N, channels, height, width]` to `[N, classes]`.

    Raises:
        BlockError: for a depth that there is not, and sizes below 1.

    Source: He et al. 2016, arXiv 1603.05027, figure 4(e) and appendix. `load_reference` takes the weights of timm's
    `resnetv2_18`, `34`, `50`, `101` and `152` (those with plain convolutions and batch norm).

    Example:
        >>> PreActResNet(18, classes=10)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    reference = KeyMap(
        "timm",
        (
            ("stem.conv", "stem.conv"),
            ("body.stage{s}.{b}.preactivation.norm1", "stages.{s-1}.blocks.{b}.norm1"),
            ("body.stage{s}.{b}.branch.conv{n}", "stages.{s-1}.blocks.{b}.conv{n}"),
            ("body.stage{s}.{b}.branch.norm{n}", "stages.{s-1}.blocks.{b}.norm{n}"),
            ("body.stage{s}.{b}.shortcut", "stages.{s-1}.blocks.{b}.downsample.conv"),
            ("head.norm", "norm"),
            ("head.linear", "head.fc"),
        ),
        pointwise=("head.linear",),
    )

    def __init__(self, depth: int, *, classes: int = 1000, channels: int = 3) -> None:
        kind, counts = known_depth("PreActResNet", depth)
        check_counts("PreActResNet", classes=classes, channels=channels)
        widen, kind = (4, "preact_bottleneck") if kind == "bottleneck" else (1, "preact")

        def block(into: int, out: int, stride: int) -> nn.Module:
            return residual_block(into, out, kind=kind, stride=stride)

        super().__init__(
            imagenet_stem(channels, WIDTHS[0], norm=False),
            stages(block, WIDTHS[0], [widen * width for width in WIDTHS], counts),
            pooled_head(widen * WIDTHS[-1], classes, norm=True),
            channels=channels,
        )
        self.reset_parameters()
