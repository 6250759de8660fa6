"""What the networks for images share: stem, body and head, a check of what comes in, fresh weights and known ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.dtypes import lacking_dtype
from identikit.nn.keys import KeyMap, State
from identikit.nn.shape_text import kind_text, size_text


class ImageNetwork(nn.Module):
    """Images in, a score for each class out: `head(body(stem(x)))`.

    `.body` holds `stage1`, `stage2` and so on, each a Sequential of whole residual blocks: `ik.sites` finds those that
    keep their shape, `ik.scan` says what each is worth, `ik.prune` drops some.

    Args:
        stem, body, head: its three parts.
        channels: of the images.
        smallest: the least height and width.

    Shape:
        `[N, channels, height, width]`, of the weights' dtype, to `[N, classes]`.

    Raises:
        BlockError: at a call with anything else; no such check is left in a compiled or exported graph.
    """

    reference: ClassVar[KeyMap]

    def __init__(
        self, stem: nn.Module, body: nn.Module, head: nn.Module, *, channels: int = 3, smallest: int = 1
    ) -> None:
        super().__init__()
        self.channels, self.smallest = channels, smallest
        self.stem = stem
        self.body = body
        self.head = head

    def reset_parameters(self) -> None:
        """Fresh weights: the convolutions by fan-out as in arXiv 1502.01852, the rest as torch has it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d | nn.Linear):
                module.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The scores."""
        self._check(x)
        scores: torch.Tensor = self.head(self.body(self.stem(x)))
        return scores

    def load_reference(self, state_dict: Mapping[str, Any]) -> Self:
        """Load weights that carry the names of `reference.source`; on failure nothing is changed. Returns the network.

        As with `load_state_dict`, the values are copied and take the dtype and device of the network.

        Raises:
            BlockError: for a key that is unknown or missing, and for a value of another size, of another kind of dtype
                (whole, floating, complex), sparse, or on the meta device; it names the key.
        """
        self.load_state_dict(self.reference.read(state_dict, self))
        return self

    def reference_state_dict(self) -> State:
        """The weights under the names of `reference.source`, to be loaded there without identikit."""
        return self.reference.write(self)

    def extra_repr(self) -> str:
        """How many parameters there are."""
        return f"{sum(parameter.numel() for parameter in self.parameters()):,} parameters"

    def _check(self, x: Any) -> None:
        if isinstance(x, torch.fx.Proxy):
            return  # a graph being traced by fx has no shapes to compare
        owner = type(self).__name__
        if not isinstance(x, torch.Tensor):
            raise BlockError(f"{owner}: called with {kind_text(x)}, not a tensor. Use torch.as_tensor(images).")
        shape = tuple(x.shape)
        if len(shape) != 4 or shape[1] != self.channels:
            raise BlockError(
                f"{owner}: made for images [N, {self.channels}, height, width], called with {size_text(shape)}. "
                f"{_fix(shape, self.channels)}"
            )
        if not x.is_floating_point():
            raise BlockError(
                f"{owner}: the images hold {x.dtype}, not floating numbers. Use images.float() / 255, normalised as in "
                "training."
            )
        if dtype := lacking_dtype(self.stem, x):
            raise BlockError(f"{owner}: the images hold {x.dtype}, the weights {dtype}. Use images.to({dtype}).")
        if min(shape[2:]) < self.smallest:
            raise BlockError(
                f"{owner}: images of {size_text(shape[2:])} shrink to nothing on the way; the least is "
                f"{self.smallest}x{self.smallest}. Enlarge them, or build a network with fewer stages."
            )


def stages(
    make: Callable[[int, int, int], nn.Module], into: int, widths: Sequence[int], counts: Sequence[int]
) -> nn.Sequential:
    """A stage for each width, of so many blocks `make(into, out, stride)`; from stage2 on the first halves the size."""
    body = nn.Sequential()
    for number, (width, count) in enumerate(zip(widths, counts, strict=True), start=1):
        first = make(into, width, 1 if number == 1 else 2)
        body.add_module(f"stage{number}", nn.Sequential(first, *(make(width, width, 1) for _ in range(count - 1))))
        into = width
    return body


def imagenet_stem(channels: int, width: int, *, norm: bool = True) -> nn.Sequential:
    """A convolution of 7x7, norm and activation unless the blocks begin with them, a maximum of 3x3."""
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)}
    if norm:
        layers |= {"norm": nn.BatchNorm2d(width), "activation": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers, pool=nn.MaxPool2d(3, stride=2, padding=1)))


def pooled_head(features: int, classes: int, *, norm: bool = False) -> nn.Sequential:
    """The mean over all positions, then a linear layer; norm and activation first if the blocks end without them."""
    layers: dict[str, nn.Module] = {"norm": nn.BatchNorm2d(features), "activation": nn.ReLU()} if norm else {}
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "linear": nn.Linear(features, classes)}
    return nn.Sequential(OrderedDict(layers))


def _fix(shape: tuple[int, ...], channels: int) -> str:
    if len(shape) == 3 and shape[0] == channels:
        return "For one image use images[None]."
    if len(shape) == 4 and shape[-1] == channels:
        return "The channels come last: use images.permute(0, 3, 1, 2)."
    if len(shape) == 4:
        return f"Build it with channels={shape[1]}, or give it {channels} channels."
    return "Bring them into that shape."
