"""The usual residual blocks, built from sizes: basic, bottleneck, pre-activation, and the MLP block."""

from __future__ import annotations

from torch import nn

from identikit.nn.branches import KINDS, Inside
from identikit.nn.counts import check_counts
from identikit.nn.made import Make, check_maker
from identikit.nn.one_of import one_of
from identikit.nn.residual import Residual
from identikit.nn.sizes import Stride, check_dims

_NORMS: tuple[Make, ...] = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def residual_block(
    in_features: int,
    out_features: int,
    *,
    kind: str = "basic",
    stride: Stride = 1,
    dims: int | None = None,
    shortcut: str | nn.Module = "project",
    kernel_size: int = 3,
    hidden: int | None = None,
    groups: int = 1,
    dilation: int = 1,
    norm: Make | None = None,
    activation: Make = nn.ReLU,
    dropout: float = 0.0,
    residual_dropout: float = 0.0,
    pad_side: str = "both",
) -> Residual:
    """A residual block of a well-known kind.

    Args:
        in_features, out_features: how many come and go.
        kind: "basic": two convolutions, activation after the addition (arXiv 1512.03385, figure 5 left);
            "bottleneck": sizes 1, 3, 1 with `hidden` features between, the stride in the middle as torchvision has it
            (figure 5 right); "preact", "preact_bottleneck": the same with norm and activation before each convolution
            and none on the sum (arXiv 1603.05027, figure 4e); "mlp": norm, then two linear layers with activation and
            dropout between (arXiv 2106.11959).
        stride: of the block; "basic" and "preact" have it in their first convolution.
        dims: spatial dimensions; with 0 (the default of "mlp", else 2) the convolutions are linear layers.
        shortcut: as in `Residual`; "project" projects only where sizes change.
        kernel_size: of the convolutions that are not of size 1; odd, so that the size is kept.
        hidden: features inside; the default is a quarter of `out_features` for the bottlenecks, twice as many for
            "mlp", else as many.
        groups, dilation: of the middle convolution of a bottleneck (ResNeXt), of both in the others.
        norm: from a number of features to a module; batch norm, or layer norm where `dims` is 0.
        activation: a class or function that makes one.
        dropout, residual_dropout: "mlp" alone: after the activation, and of what the block adds.
        pad_side: as in `Residual`.

    Shape:
        `[N, in_features, *spatial]` to `[N, out_features, *ceil(spatial / stride)]`; features last where `dims` is 0.

    Raises:
        BlockError: for sizes that cannot work.

    Example:
        >>> residual_block(64, 128, stride=2)(torch.zeros(1, 64, 8, 8)).shape
        torch.Size([1, 128, 4, 4])
    """
    one_of("residual_block", "kind", kind, KINDS)
    across = dims if dims is not None else 0 if kind == "mlp" else 2
    check_dims("residual_block", across, stride)
    sizes = {"in_features": in_features, "out_features": out_features} | ({} if hidden is None else {"hidden": hidden})
    check_counts("residual_block", **sizes, groups=groups, dilation=dilation)
    check_maker("residual_block", "activation", activation)
    check_maker("residual_block", "norm", norm)
    inside = Inside(
        kernel_size, groups, dilation, norm or _NORMS[across], activation, dropout, residual_dropout, across
    )
    inside.check(kind)
    parts = KINDS[kind](in_features, hidden, out_features, stride, inside)
    return Residual(
        parts.branch, shortcut, in_features=in_features, out_features=out_features, stride=stride, dims=across,
        pad_side=pad_side, preactivation=parts.before, activation=parts.after,
    )  # fmt: skip
