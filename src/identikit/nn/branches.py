"""The branches of the usual residual blocks, and what stands before and after them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from identikit.errors import BlockError
from identikit.nn.counts import check_counts
from identikit.nn.made import Make, made
from identikit.nn.sizes import Stride

_CONVOLUTIONS: tuple[Callable[..., nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Parts:
    """A block's branch, and the modules before the branch and after the addition."""

    branch: nn.Sequential
    before: nn.Module | None = None
    after: nn.Module | None = None


@dataclass(frozen=True)
class Inside:
    """What the layers of a branch have in common."""

    kernel_size: int
    groups: int
    dilation: int
    make_norm: Make
    make_activation: Make
    dropout: float
    residual_dropout: float
    dims: int

    def norm(self, features: int) -> nn.Module:
        """A norm of its own for so many features."""
        return made("residual_block", "norm", self.make_norm, features)

    def activation(self) -> nn.Module:
        """An activation of its own."""
        return made("residual_block", "activation", self.make_activation)

    def layer(self, into: int, out: int, *, stride: Stride = 1, wide: bool = True) -> nn.Module:
        """A convolution without bias (a norm follows), `wide` or of size 1; a linear layer where there is no space."""
        if self.dims == 0:
            return nn.Linear(into, out)
        convolution = _CONVOLUTIONS[self.dims - 1]
        if not wide:
            return convolution(into, out, 1, stride=stride, bias=False)
        if into % self.groups or out % self.groups:
            raise BlockError(
                f"residual_block: groups={self.groups} divides {into} and {out} features into no whole parts. "
                "Use a number that divides both."
            )
        padding = self.dilation * (self.kernel_size - 1) // 2
        return convolution(
            into,
            out,
            self.kernel_size,
            stride=stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
            bias=False,
        )

    def check(self, kind: str) -> None:
        """Raise BlockError for what no block of this kind can be."""
        check_counts("residual_block", kernel_size=self.kernel_size)
        if self.kernel_size % 2 == 0:
            raise BlockError(
                f"residual_block: kernel_size={self.kernel_size} cannot keep the size, so the shortcut would not fit. "
                f"Use {self.kernel_size + 1} or {self.kernel_size - 1}."
            )
        for name, share in (("dropout", self.dropout), ("residual_dropout", self.residual_dropout)):
            if not 0 <= share < 1:
                raise BlockError(f"residual_block: {name}={share:g} is no share from 0 up to 1, such as 0.1.")
        if kind == "mlp" and self.dims:
            raise BlockError(
                f'residual_block: kind="mlp" takes features last, not dims={self.dims}. Use dims=0, or kind="basic".'
            )
        if (self.dropout or self.residual_dropout) and kind != "mlp":
            raise BlockError(
                f'residual_block: kind="{kind}" has no dropout. Use kind="mlp", or StochasticDepth in a branch.'
            )
        if self.dims == 0 and (self.groups, self.dilation) != (1, 1):
            raise BlockError("residual_block: groups= and dilation= belong to convolutions. Say dims=1, 2 or 3.")


def basic(into: int, hidden: int | None, out: int, stride: Stride, inside: Inside) -> Parts:
    """layer, norm, activation, layer, norm; activation after the addition."""
    hidden = hidden or out
    branch = _named(
        conv1=inside.layer(into, hidden, stride=stride), norm1=inside.norm(hidden), activation1=inside.activation(),
        conv2=inside.layer(hidden, out), norm2=inside.norm(out),
    )  # fmt: skip
    return Parts(branch, after=inside.activation())


def bottleneck(into: int, hidden: int | None, out: int, stride: Stride, inside: Inside) -> Parts:
    """Narrow, work, widen: three layers, the outer two of size 1."""
    hidden = hidden or max(1, out // 4)
    branch = _named(
        conv1=inside.layer(into, hidden, wide=False), norm1=inside.norm(hidden), activation1=inside.activation(),
        conv2=inside.layer(hidden, hidden, stride=stride), norm2=inside.norm(hidden), activation2=inside.activation(),
        conv3=inside.layer(hidden, out, wide=False), norm3=inside.norm(out),
    )  # fmt: skip
    return Parts(branch, after=inside.activation())


def preact(into: int, hidden: int | None, out: int, stride: Stride, inside: Inside) -> Parts:
    """Norm and activation before each layer, nothing after the addition."""
    hidden = hidden or out
    branch = _named(
        conv1=inside.layer(into, hidden, stride=stride), norm2=inside.norm(hidden), activation2=inside.activation(),
        conv2=inside.layer(hidden, out),
    )  # fmt: skip
    return Parts(branch, before=_named(norm1=inside.norm(into), activation1=inside.activation()))


def preact_bottleneck(into: int, hidden: int | None, out: int, stride: Stride, inside: Inside) -> Parts:
    """The bottleneck with norm and activation before each layer."""
    hidden = hidden or max(1, out // 4)
    branch = _named(
        conv1=inside.layer(into, hidden, wide=False), norm2=inside.norm(hidden), activation2=inside.activation(),
        conv2=inside.layer(hidden, hidden, stride=stride), norm3=inside.norm(hidden), activation3=inside.activation(),
        conv3=inside.layer(hidden, out, wide=False),
    )  # fmt: skip
    return Parts(branch, before=_named(norm1=inside.norm(into), activation1=inside.activation()))


def mlp(into: int, hidden: int | None, out: int, stride: Stride, inside: Inside) -> Parts:
    """Norm, then two linear layers with an activation and dropout between them."""
    hidden = hidden or 2 * out
    branch = _named(
        norm=inside.norm(into), linear1=nn.Linear(into, hidden), activation=inside.activation(),
        dropout1=nn.Dropout(inside.dropout), linear2=nn.Linear(hidden, out),
        dropout2=nn.Dropout(inside.residual_dropout),
    )  # fmt: skip
    return Parts(branch)


KINDS: dict[str, Callable[[int, int | None, int, Stride, Inside], Parts]] = {
    "basic": basic,
    "bottleneck": bottleneck,
    "preact": preact,
    "preact_bottleneck": preact_bottleneck,
    "mlp": mlp,
}


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))
