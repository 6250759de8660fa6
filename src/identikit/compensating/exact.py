"""Values as float64 rows, one for each position, where float64 can be had."""

from __future__ import annotations

import torch

from identikit.replacing.maps import rows


def exact_rows(value: torch.Tensor, axis: int) -> torch.Tensor:
    """`value` as [positions, features] in float64; on the processor where its device has none (mps)."""
    held = value.detach().cpu() if value.device.type == "mps" else value.detach()
    return rows(held.double(), axis)
