"""Which shortcut a residual block gets: from the word that was asked for and the sizes that are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from identikit.errors import BlockError
from identikit.nn.counts import check_counts
from identikit.nn.merges import HighwayGate
from identikit.nn.mismatch import sizes_differ, sizes_unknown
from identikit.nn.one_of import one_of
from identikit.nn.shortcuts import DOWNS, SIDES, PadShortcut, shortcut_projection
from identikit.nn.sizes import Sizes, check_dims, is_strided, sizes_of

SHORTCUTS = ("identity", "pad", "project", "project_all")


@dataclass(frozen=True)
class Asked:
    """What was asked of a shortcut."""

    shortcut: str
    merge: str
    pad_side: str
    down: str
    preactivated: bool

    def __post_init__(self) -> None:
        one_of("Residual", "shortcut", self.shortcut, SHORTCUTS)
        one_of("Residual", "pad_side", self.pad_side, SIDES)
        one_of("Residual", "down", self.down, DOWNS)


def agreed(branch: nn.Module, given: Sizes) -> Sizes:
    """What is given, and where nothing is, what the branch says of itself.

    Raises:
        BlockError: where the two contradict each other, and for sizes that cannot be.
    """
    read = sizes_of(branch)
    for name in ("in_features", "out_features"):
        said, own = getattr(given, name), getattr(read, name)
        if said is not None:
            check_counts("Residual", **{name: said})
        if said is not None and own is not None and said != own:
            raise BlockError(
                f"Residual: {name}={said}, and the branch says {own}. Leave it out, or make the branch with {said}."
            )
    known = {name: own if (said := getattr(given, name)) is None else said for name, own in vars(read).items()}
    check_dims("Residual", known["dims"] or 0, 1 if given.stride is None else given.stride)
    return Sizes(**known)


def shortcut_for(sizes: Sizes, asked: Asked) -> nn.Module:
    """The module for the word.

    Raises:
        BlockError: where the identity cannot fit, and where a size is needed that nobody said.
    """
    into = sizes.in_features
    out = into if asked.merge == "concat" else sizes.out_features  # a concatenated shortcut keeps its features
    stride = 1 if sizes.stride is None else sizes.stride
    same = into == out and not is_strided(stride)
    if asked.shortcut == "identity":
        if None not in (into, out) and not same:
            raise BlockError(sizes_differ(into, out, stride, sizes.dims or 0, asked.preactivated))  # type: ignore[arg-type]
        return nn.Identity()
    missing = [
        name for name, value in (("in_features", into), ("out_features", out), ("dims", sizes.dims)) if value is None
    ]
    if into is None or out is None or sizes.dims is None:
        raise BlockError(sizes_unknown(missing, f'shortcut="{asked.shortcut}"'))
    check_dims("Residual", sizes.dims, stride)
    if same and asked.shortcut != "project_all":
        return nn.Identity()
    if asked.shortcut == "pad":
        return PadShortcut(into, out, stride=stride, dims=sizes.dims, side=asked.pad_side, down=asked.down)
    return shortcut_projection(into, out, stride, sizes.dims, preactivated=asked.preactivated)


def beside(branch: nn.Module, made: nn.Module) -> nn.Module:
    """The made module on the device and in the dtype of the branch's weights."""
    for weight in branch.parameters():
        if weight.is_floating_point():
            return made.to(weight.device, weight.dtype)
    return made


def features_of(sizes: Sizes, merge: str) -> int | None:
    """How many features come out of the block."""
    if merge != "concat" or sizes.out_features is None:
        return sizes.out_features
    return None if sizes.in_features is None else sizes.in_features + sizes.out_features


def gate_for(features: int | None, dims: int) -> HighwayGate:
    """The gate of a block; BlockError where nobody said how many features it has."""
    if features is None:
        raise BlockError(sizes_unknown(["out_features"], 'merge="gate"'))
    return HighwayGate(features, dims=dims)


def axis_of(sizes: Sizes, merge: str) -> int:
    """The spatial dimensions; BlockError where a merge needs them and they lie inside a class of its own."""
    if sizes.dims is None and merge != "add":
        raise BlockError(sizes_unknown(["dims"], f'merge="{merge}"'))
    return sizes.dims or 0
