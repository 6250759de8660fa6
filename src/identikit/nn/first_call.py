"""What a residual block looks for once: in-place operations on its skip, and sums that would change a dtype."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import fx, nn

from identikit.errors import BlockError
from identikit.nn.sizes import layers_of


def check_leading_layer(branch: nn.Module) -> None:
    """Raise BlockError where the first layer of an `nn.Sequential` says that it works in place."""
    first = next((layer for layer in layers_of(branch) if not isinstance(layer, nn.Identity)), None)
    if first is not None and getattr(first, "inplace", False) is True:
        raise BlockError(_in_place(first))


@contextmanager
def check_first_call(block: nn.Module, x: torch.Tensor | fx.Proxy) -> Iterator[None]:
    """Raise BlockError if `x` was edited when the block is left.

    A tensor counts its edits, and those of its views. One made in inference mode does not: its values are compared.
    """
    if not isinstance(x, torch.Tensor):  # a graph being traced by fx: nothing runs yet
        yield
    elif x.is_inference():
        before = x.clone()
        yield
        if not torch.equal(before, x) and not before.isnan().any():
            raise BlockError(_in_place(_culprit(block)))
    else:
        version = x._version
        yield
        if x._version != version:
            raise BlockError(_in_place(_culprit(block)))


def _culprit(block: nn.Module) -> nn.Module | None:
    return next((module for module in block.modules() if getattr(module, "inplace", False) is True), None)


def _in_place(culprit: nn.Module | None) -> str:
    found = f"{type(culprit).__name__}(inplace=True)" if culprit is not None else "an in-place operation such as +="
    fix = f"{type(culprit).__name__}(inplace=False)" if culprit is not None else "x = x + y in place of x += y"
    return (
        f"Residual: the branch edits its input with {found}, and the shortcut would carry the edited values. Use {fix}."
    )
