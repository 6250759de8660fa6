"""The residual block: a branch beside a shortcut, joined without a silent mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.first_call import check_first_call, check_leading_layer
from identikit.nn.merges import MERGES, HighwayGate
from identikit.nn.mismatch import mismatch
from identikit.nn.one_of import one_of
from identikit.nn.shortcut_choice import choose
from identikit.nn.sizes import Stride

Activation = nn.Module | Callable[[], nn.Module] | None


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
        preactivation: a module applied before the branch, such as batch norm and ReLU. A projection takes its output
            too, and is bare, without norm; any other shortcut takes the input as it came (He et al. 2016, arXiv
            1603.05027).
        activation: a module, or a class of one, applied after the addition.
        merge: "add"; "concat" joins shortcut and branch along the features (DenseNet, arXiv 1608.06993); "gate" learns
            how much of each passes (highway networks, arXiv 1505.00387).

    Shape:
        What the branch takes, to what it gives (with "concat": the features of both). Further arguments of a call go to
        the branch: `Residual(attention)(x, mask=mask)`.

    Raises:
        BlockError: where the sizes cannot fit, at construction if they can be read, else at the call that shows it;
            where the branch gives something other than a tensor; and at the first call where it edits its input.

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
        preactivation: nn.Module | None = None,
        activation: Activation = None,
        merge: str = "add",
    ) -> None:
        super().__init__()
        one_of("Residual", "merge", merge, MERGES)
        check_leading_layer(branch if preactivation is None else preactivation)
        preactivated = preactivation is not None
        chosen = choose(branch, shortcut, merge, in_features, out_features, stride, dims, pad_side, down, preactivated)
        self.in_features, self.out_features, self.dims = chosen.in_features, chosen.out_features, chosen.dims
        self.merge = merge
        self.made_shortcut = isinstance(shortcut, str)
        self.preactivation = preactivation
        self.branch = branch
        self.shortcut = chosen.module
        self.gate = HighwayGate(chosen.features("the gate"), dims=chosen.dims) if merge == "gate" else None
        self.activation = activation if activation is None or isinstance(activation, nn.Module) else activation()
        self._projects = chosen.projects
        self._direct = type(chosen.module) is nn.Identity
        self._unseen = True

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The branch's output and the shortcut's, joined; `args` and `kwargs` go to the branch."""
        if self._unseen and not torch.compiler.is_compiling():
            with check_first_call(self, x):
                merged = self._joined(x, args, kwargs)
            self._unseen = not isinstance(x, torch.Tensor)
        else:
            merged = self._joined(x, args, kwargs)
        return merged if self.activation is None else self.activation(merged)

    def _joined(self, x: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        entering = x if self.preactivation is None else self.preactivation(x)
        out = self.branch(entering, *args, **kwargs)
        skip = x if self._direct else self.shortcut(entering if self._projects else x)
        merged = MERGES[self.merge](self, out, skip)
        if merged is None:
            raise BlockError(mismatch(self, x, out, skip))
        return merged

    def extra_repr(self) -> str:
        """How the two ways are joined, where it is not by addition."""
        return f"merge={self.merge}" if self.merge != "add" else ""
