"""In-place operations on what a shortcut carries: found in the layers where they can be read, else at the call."""

from __future__ import annotations

import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn.sizes import layers_of


def leading_in_place(branch: nn.Module) -> str:
    """The class of the first layer of an `nn.Sequential` where that says that it works in place, else ""."""
    first = next((layer for layer in layers_of(branch) if not isinstance(layer, nn.Identity)), None)
    return type(first).__name__ if getattr(first, "inplace", False) is True else ""


def check_leading_layer(branch: nn.Module) -> None:
    """Raise BlockError where the first layer of a branch works in place."""
    if kind := leading_in_place(branch):
        raise BlockError(
            f"Residual: the branch edits its input with {kind}(inplace=True), and the shortcut would carry the edited "
            f"values. Use {kind}(inplace=False)."
        )


def counting(x: torch.Tensor) -> torch.Tensor:
    """A copy of a tensor of inference mode that counts its edits, as every other tensor does."""
    with torch.inference_mode(False):
        return x.clone()


def edited(block: nn.Module) -> str:
    """What to say of an input that was edited while `block` ran."""
    inside = ((path, module) for path, module in block.named_modules() if getattr(module, "inplace", False) is True)
    found = [f'"{path}" ({type(module).__name__}(inplace=True))' for path, module in inside if path != "activation"]
    look = f"Use inplace=False in {found[0]}, or look for" if found else "Look for"
    return (
        f"Residual: the input was edited in place, so the shortcut would carry the edited values. {look} operations "
        "such as += and relu_."
    )
