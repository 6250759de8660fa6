"""Whether two dtypes may meet: only autocast brings them together, and only while it is on."""

from __future__ import annotations

import torch
from torch import nn


def autocast_is_on(x: torch.Tensor) -> bool:
    """Whether operations on the device of `x` choose their own dtypes."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def lacking_dtype(layer: nn.Module, x: torch.Tensor) -> torch.dtype | None:
    """The dtype of the layer's weights where `x` has another that autocast does not see to; None where `x` fits."""
    weights = (parameter.dtype for parameter in layer.parameters() if parameter.is_floating_point())
    wanted = next(weights, x.dtype)
    fits = x.dtype == wanted or (x.is_floating_point() and autocast_is_on(x))
    return None if fits else wanted
