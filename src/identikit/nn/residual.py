"""The residual block: a branch beside a shortcut, joined without a silent mistake."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.fx import Proxy

from identikit.errors import BlockError
from identikit.nn.in_place import check_leading_layer, counting, edited
from identikit.nn.made import Make, made
from identikit.nn.merges import MERGES
from identikit.nn.mismatch import mismatch
from identikit.nn.one_of import one_of
from identikit.nn.shape_text import kind_text
from identikit.nn.shortcut_choice import Asked, agreed, axis_of, beside, features_of, gate_for, shortcut_for
from identikit.nn.shortcuts import is_unheard_identity, takes_preactivated
from identikit.nn.sizes import Sizes, Stride


class Residual(nn.Module):
    """`activation(shortcut(x) + branch(x))`, with shapes compared at every call and nothing broadcast.

    Args:
        branch: any module that maps a tensor to a tensor. Gates and stochastic depth go at its end:
            `Residual(nn.Sequential(nn.Linear(8, 8), ReZero()))`.
        shortcut: how the input gets to the addition. "identity": as it is; "pad": zeros for new features (option A of
            the ResNet paper); "project": a learned projection where sizes change, else the identity (option B);
            "project_all": always a projection (option C); or a module of your own.
        in_features, out_features, stride, dims: the sizes of the branch, read from it where they can be. `dims` counts
            the trailing spatial dimensions: 0 for features last (the default), 2 for images `[N, C, H, W]`.
        pad_side: where "pad" puts the zeros: "both" (an odd remainder behind), "front", "behind".
        down: how "pad" strides: "subsample" or "average".
        preactivation: a module (or a class of one) applied before the branch, such as batch norm and ReLU. A projection
            takes its output too, and is bare, without norm; any other shortcut takes the input as it came (He et al.
            2016, arXiv 1603.05027).
        activation: a module, or a class of one, applied after the addition.
        merge: "add"; "concat" joins shortcut and branch along the features (DenseNet, arXiv 1608.06993); "gate" learns
            how much of each passes (highway networks, arXiv 1505.00387).

    Shape:
        What the branch takes, to what it gives (with "concat": the features of both). Further arguments of a call go to
        the branch: `Residual(attention)(x, mask=mask)`.

    Raises:
        BlockError: where the sizes cannot fit, at construction if they can be read, else at the call that shows it;
            where the branch gives something other than a tensor; and at a call in which the input is edited in
            place. Under torch.compile nothing runs that could be watched: there only the layers of an `nn.Sequential`
            are looked at, when the block is built.

    Source: He et al. 2015, arXiv 1512.03385.

    Example:
        >>> block = Residual(nn.Sequential(nn.Linear(100, 200), nn.ReLU(), nn.Linear(200, 400)), shortcut="project")
        >>> block(torch.zeros(2, 100)).shape
        torch.Size([2, 400])
    """

    def __init__(
        self,
        branch: nn.Module,
        shortcut: str | nn.Module = "identity",
        *,
        in_features: int | None = None,
        out_features: int | None = None,
        stride: Stride | None = None,
        dims: int | None = None,
        pad_side: str = "both",
        down: str = "subsample",
        preactivation: nn.Module | Make | None = None,
        activation: nn.Module | Make | None = None,
        merge: str = "add",
    ) -> None:
        super().__init__()
        one_of("Residual", "merge", merge, MERGES)
        if not isinstance(branch, nn.Module):
            raise BlockError(
                f"Residual: the branch is {kind_text(branch)}, not a module. Wrap it in a class of nn.Module."
            )
        sizes = agreed(branch, Sizes(in_features, out_features, stride, dims))
        self.in_features, self.out_features = sizes.in_features, features_of(sizes, merge)
        self.stride, self.dims, self.merge = sizes.stride, axis_of(sizes, merge), merge
        self.preactivation = None if preactivation is None else made("Residual", "preactivation", preactivation)
        self.branch = branch
        self.made_shortcut = isinstance(shortcut, str)
        if isinstance(shortcut, nn.Module):
            self.shortcut = shortcut
        else:
            asked = Asked(shortcut, merge, pad_side, down, preactivation is not None)
            self.shortcut = beside(branch, shortcut_for(sizes, asked))
        self.gate = beside(branch, gate_for(self.out_features, self.dims)) if merge == "gate" else None
        self.activation = None if activation is None else made("Residual", "activation", activation)
        first = branch if self.preactivation is None else self.preactivation
        # what comes out of a preactivation is the branch's own, unless a projection takes it too
        for each in (first, branch) if takes_preactivated(self.shortcut) else (first,):
            check_leading_layer(each)
        self._seen: set[bool] = set()

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The branch's output and the shortcut's, joined; `args` and `kwargs` go to the branch."""
        given: Any = x
        written_down = torch.compiler.is_compiling() or isinstance(given, Proxy)  # nothing runs that could be watched
        joined = self._joined(x, self.shortcut, args, kwargs) if written_down else self._watched(x, args, kwargs)
        return joined if self.activation is None else self.activation(joined)

    def _watched(self, x: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """Joined, and BlockError if `x` was edited on the way. A tensor counts its edits, and those of its views."""
        if not isinstance(x, torch.Tensor):
            raise BlockError(
                f"Residual: called with {kind_text(x)}, not a tensor. Give the stream first: block(x, ...)."
            )
        shortcut = self._modules["shortcut"]  # self.shortcut, by the shorter way: this is measured in microseconds
        shortcut = None if is_unheard_identity(shortcut) else shortcut
        if x.is_inference():
            return self._inferred(x, shortcut, args, kwargs)
        version = x._version
        merged = self._joined(x, shortcut, args, kwargs)
        if x._version != version:
            raise BlockError(edited(self))
        return merged

    def _inferred(
        self, x: torch.Tensor, shortcut: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> torch.Tensor:
        """In inference mode tensors do not count their edits: the first call, in each mode, is given one that does."""
        if self.training in self._seen:
            return self._joined(x, shortcut, args, kwargs)
        merged = self._watched(counting(x), args, kwargs)
        self._seen.add(self.training)
        return merged

    def _joined(
        self, x: torch.Tensor, shortcut: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> torch.Tensor:
        entering = x if self.preactivation is None else self.preactivation(x)
        # the shortcut first: a branch may edit what it is given once nobody else reads it
        skip = x
        if shortcut is not None:
            skip = shortcut(entering if entering is not x and takes_preactivated(shortcut) else x)
        out = self.branch(entering, *args, **kwargs)
        merged = MERGES[self.merge](self, out, skip)
        if merged is None:
            raise BlockError(mismatch(self, x, out, skip))
        return merged

    def extra_repr(self) -> str:
        """How the two ways are joined, where it is not by addition."""
        return f"merge={self.merge}" if self.merge != "add" else ""
