"""The residual network for ImageNet, 18 to 152 layers deep, with the weights of torchvision."""

from __future__ import annotations

from torch import nn

from identikit.errors import BlockError
from identikit.nn.counts import check_counts
from identikit.nn.image_network import ImageNetwork, imagenet_stem, pooled_head, stages
from identikit.nn.keys import KeyMap
from identikit.nn.residual import Residual
from identikit.nn.residual_block import residual_block

# depth: the kind of block, and how many of them in each stage
DEPTHS: dict[int, tuple[str, tuple[int, int, int, int]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
WIDTHS = (64, 128, 256, 512)


class ResNet(ImageNetwork):
    """The residual network of torchvision, and the ResNeXt and wide ones.

    Args:
        depth: 18 and 34 have basic blocks; 50, 101 and 152 bottlenecks.
        shortcut: where sizes change: "project" (option B of the paper) or "pad" (A); "project_all" (C): in every block.
        classes: how many scores come out.
        groups, width_per_group: of the bottlenecks. `ResNet(50, groups=32, width_per_group=4)` is ResNeXt-50 32x4d
            (arXiv 1611.05431), `ResNet(50, width_per_group=128)` the wide ResNet-50-2 (arXiv 1605.07146).
        zero_init_residual: start each block as the identity, its last norm at zero (arXiv 1706.02677).
        channels: of the images.

    Shape:
        `[N, channels, height, width]` to `[N, classes]`.

    Raises:
        BlockError: for a depth that there is not, sizes below 1, and groups of basic blocks.

    Source: He et al. 2015, arXiv 1512.03385. The stride of a bottleneck is in its middle convolution as in torchvision;
    the paper has it in the first. `load_reference` takes torchvision's weights.

    Example:
        >>> ResNet(18, classes=10)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    reference = KeyMap(
        "torchvision",
        (
            ("stem.conv", "conv1"),
            ("stem.norm", "bn1"),
            ("body.stage{s}.{b}.branch.conv{n}", "layer{s}.{b}.conv{n}"),
            ("body.stage{s}.{b}.branch.norm{n}", "layer{s}.{b}.bn{n}"),
            ("body.stage{s}.{b}.shortcut.{n}", "layer{s}.{b}.downsample.{n}"),
            ("head.linear", "fc"),
        ),
    )

    def __init__(
        self,
        depth: int,
        *,
        shortcut: str = "project",
        classes: int = 1000,
        groups: int = 1,
        width_per_group: int = 64,
        zero_init_residual: bool = False,
        channels: int = 3,
    ) -> None:
        kind, counts = known_depth("ResNet", depth)
        check_counts("ResNet", classes=classes, groups=groups, width_per_group=width_per_group, channels=channels)
        if kind == "basic" and (groups, width_per_group) != (1, 64):
            raise BlockError(
                f"ResNet: groups={groups} and width_per_group={width_per_group} are for bottlenecks, and depth={depth} "
                "has basic blocks. Use depth=50, 101 or 152."
            )
        widen = 4 if kind == "bottleneck" else 1

        def block(into: int, out: int, stride: int) -> nn.Module:
            inside = out // widen * width_per_group // 64 * groups
            return residual_block(
                into, out, kind=kind, stride=stride, shortcut=shortcut, hidden=inside, groups=groups
            )  # fmt: skip

        super().__init__(
            imagenet_stem(channels, WIDTHS[0]),
            stages(block, WIDTHS[0], [widen * width for width in WIDTHS], counts),
            pooled_head(widen * WIDTHS[-1], classes),
            channels=channels,
        )
        self.zero_init_residual = zero_init_residual
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As every image network; with `zero_init_residual` each block starts as the identity."""
        super().reset_parameters()
        for block in self.modules():
            if self.zero_init_residual and isinstance(block, Residual):
                nn.init.zeros_(block.branch[-1].weight)  # type: ignore[index]


def known_depth(owner: str, depth: int) -> tuple[str, tuple[int, int, int, int]]:
    """The kind of block and how many of them in each stage, or BlockError where there is no network of that depth."""
    check_counts(owner, depth=depth)
    if depth not in DEPTHS:
        nearest = min(DEPTHS, key=lambda known: abs(known - depth))
        raise BlockError(f"{owner}: no depth={depth}; there are 18, 34, 50, 101 and 152. Use depth={nearest}.")
    return DEPTHS[depth]
