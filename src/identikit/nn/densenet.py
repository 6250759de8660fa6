"""The densely connected network: a skip by concatenation, so that each layer reads all that came before it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Self

from torch import nn

from identikit.errors import BlockError
from identikit.nn.counts import check_counts
from identikit.nn.image_network import ImageNetwork, imagenet_stem, pooled_head
from identikit.nn.keys import KeyMap
from identikit.nn.residual import Residual

# depth: growth_rate, block_config, num_init_features
DEPTHS: dict[int, tuple[int, tuple[int, ...], int]] = {
    121: (32, (6, 12, 24, 16), 64),
    161: (48, (6, 12, 36, 24), 96),
    169: (32, (6, 12, 32, 32), 64),
    201: (32, (6, 12, 48, 32), 64),
}
_THERE = "features.denseblock{s}.denselayer{b+1}"


class DenseNet(ImageNetwork):
    """DenseNet-BC, the arguments named as in torchvision; the defaults make DenseNet-121.

    A dense layer hands on its input and, behind it, `growth_rate` new features. Between two stages a transition halves
    the features and the size. `DenseNet.of_depth(169)` is one of the published four.

    Args:
        growth_rate: features that a dense layer adds.
        block_config: dense layers in each stage.
        num_init_features: features of the stem.
        bn_size: features inside a dense layer, in growth rates.
        drop_rate: the share of a dense layer's new features that is zeroed while training.
        num_classes: how many scores come out.
        channels: of the images.

    Shape:
        `[N, channels, height, width]`, at least 29x29 with four stages, to `[N, num_classes]`.

    Raises:
        BlockError: for sizes below 1, no stage, and a drop rate outside 0 to 1.

    Source: Huang et al. 2017, arXiv 1608.06993. `load_reference` takes torchvision's weights, under their older names
    (`norm.1`) too.

    Example:
        >>> DenseNet(growth_rate=8, block_config=(2, 2), num_classes=10)(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """

    reference = KeyMap(
        "torchvision",
        (
            ("stem.conv", "features.conv0"),
            ("stem.norm", "features.norm0"),
            ("body.stage{s}.layers.{b}.branch.conv{n}", f"{_THERE}.conv{{n}}", f"{_THERE}.conv.{{n}}"),
            ("body.stage{s}.layers.{b}.branch.norm{n}", f"{_THERE}.norm{{n}}", f"{_THERE}.norm.{{n}}"),
            ("body.stage{s}.transition.conv", "features.transition{s}.conv"),
            ("body.stage{s}.transition.norm", "features.transition{s}.norm"),
            ("head.norm", "features.norm5"),
            ("head.linear", "classifier"),
        ),
    )

    def __init__(
        self,
        *,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        num_classes: int = 1000,
        channels: int = 3,
    ) -> None:
        check_counts(
            "DenseNet", growth_rate=growth_rate, num_init_features=num_init_features, bn_size=bn_size,
            num_classes=num_classes, channels=channels,
        )  # fmt: skip
        _check(block_config, drop_rate)
        body, features = nn.Sequential(), num_init_features
        for number, count in enumerate(block_config, start=1):
            stage, features = _stage(features, count, growth_rate, bn_size, drop_rate, last=number == len(block_config))
            body.add_module(f"stage{number}", stage)
        # the stem leaves a quarter of the size, and each transition needs two positions
        smallest = 4 * (2 ** (len(block_config) - 1) - 1) + 1
        super().__init__(
            imagenet_stem(channels, num_init_features), body, pooled_head(features, num_classes, norm=True),
            channels=channels, smallest=smallest,
        )  # fmt: skip
        self.reset_parameters()

    @classmethod
    def of_depth(cls, depth: int, **options: Any) -> Self:
        """DenseNet-121, 161, 169 or 201; `options` as in the constructor.

        Raises:
            BlockError: for another depth.
        """
        check_counts("DenseNet", depth=depth)
        if depth not in DEPTHS:
            nearest = min(DEPTHS, key=lambda known: abs(known - depth))
            raise BlockError(f"DenseNet: no depth={depth}; there are 121, 161, 169 and 201. Use of_depth({nearest}).")
        growth_rate, block_config, num_init_features = DEPTHS[depth]
        return cls(growth_rate=growth_rate, block_config=block_config, num_init_features=num_init_features, **options)


def _stage(
    features: int, count: int, growth_rate: int, bn_size: int, drop_rate: float, *, last: bool
) -> tuple[nn.Sequential, int]:
    """Dense layers, a transition after them unless this is the last stage, and how many features come out."""
    layers = nn.Sequential()
    for _ in range(count):
        layers.append(_dense_layer(features, growth_rate, bn_size * growth_rate, drop_rate))
        features += growth_rate
    parts: dict[str, nn.Module] = {"layers": layers}
    if not last:
        parts["transition"] = _transition(features, features // 2)
        features //= 2
    return nn.Sequential(OrderedDict(parts)), features


def _dense_layer(into: int, growth_rate: int, inside: int, drop_rate: float) -> Residual:
    branch = nn.Sequential(
        OrderedDict(
            norm1=nn.BatchNorm2d(into), activation1=nn.ReLU(), conv1=nn.Conv2d(into, inside, 1, bias=False),
            norm2=nn.BatchNorm2d(inside), activation2=nn.ReLU(),
            conv2=nn.Conv2d(inside, growth_rate, 3, padding=1, bias=False), dropout=nn.Dropout(drop_rate),
        )
    )  # fmt: skip
    return Residual(branch, merge="concat")


def _transition(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(into), activation=nn.ReLU(), conv=nn.Conv2d(into, out, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )  # fmt: skip


def _check(block_config: Sequence[int], drop_rate: float) -> None:
    if not block_config:
        raise BlockError("DenseNet: block_config= is empty. Use one number a stage, such as (6, 12, 24, 16).")
    check_counts("DenseNet", **{f"block_config[{at}]": count for at, count in enumerate(block_config)})
    if not 0 <= drop_rate < 1:
        raise BlockError(f"DenseNet: drop_rate={drop_rate:g} is no share from 0 up to 1, such as 0.2.")
