"""Which shortcut a residual block gets: from the word that was asked for and the sizes that are known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from identikit.errors import BlockError
from identikit.nn.mismatch import sizes_differ, sizes_unknown
from identikit.nn.one_of import one_of
from identikit.nn.shortcuts import DOWNS, SIDES, PadShortcut, shortcut_projection
from identikit.nn.sizes import Stride, check_dims, is_strided, sizes_of

SHORTCUTS = ("identity", "pad", "project", "project_all")


@dataclass(frozen=True)
class Choice:
    """A shortcut with the sizes it was made for; `projects` where it takes the preactivated input."""

    module: nn.Module
    in_features: int | None
    out_features: int | None
    dims: int
    projects: bool = False

    def features(self, why: str) -> int:
        """How many features come out, or BlockError where nobody said."""
        if self.out_features is None:
            raise BlockError(sizes_unknown(["out_features"], why))
        return self.out_features


def choose(
    branch: nn.Module,
    shortcut: str | nn.Module,
    merge: str,
    in_features: int | None,
    out_features: int | None,
    stride: Stride | None,
    dims: int | None,
    pad_side: str,
    down: str,
    preactivated: bool,
) -> Choice:
    """The shortcut around `branch`. What is given goes before what the branch says of itself.

    Raises:
        BlockError: for a word that is no shortcut, and where sizes cannot fit or are not known.
    """
    read = sizes_of(branch)
    into = read.in_features if in_features is None else in_features
    out = read.out_features if out_features is None else out_features
    step = read.stride if stride is None else stride
    across = (read.dims or 0) if dims is None else dims
    check_dims("Residual", across, step)
    one_of("Residual", "pad_side", pad_side, SIDES)
    one_of("Residual", "down", down, DOWNS)
    target = into if merge == "concat" else out  # what the shortcut makes: beside the branch, or of its size
    total = out if merge != "concat" else None if into is None or out is None else into + out
    if isinstance(shortcut, nn.Module):
        return Choice(shortcut, into, total, across)
    one_of("Residual", "shortcut", shortcut, SHORTCUTS)
    if into is None or target is None:
        if shortcut != "identity":
            raise BlockError(_unknown(shortcut, into, target))
        return Choice(nn.Identity(), into, total, across)
    same = into == target and not is_strided(step)
    if same and shortcut != "project_all":
        return Choice(nn.Identity(), into, total, across)
    if shortcut == "identity":
        raise BlockError(sizes_differ(into, target, step, across, preactivated))
    if shortcut == "pad":
        padded = PadShortcut(into, target, stride=step, dims=across, side=pad_side, down=down)
        return Choice(padded, into, total, across)
    projected = shortcut_projection(into, target, step, across, preactivated=preactivated)
    return Choice(projected, into, total, across, projects=True)


def _unknown(shortcut: str, into: int | None, out: int | None) -> str:
    missing = [name for name, value in (("in_features", into), ("out_features", out)) if value is None]
    return sizes_unknown(missing, f'shortcut="{shortcut}"')
