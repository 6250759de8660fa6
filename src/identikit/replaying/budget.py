"""How much memory an engine may fill with recorded and stacked states."""

from __future__ import annotations

import os

import torch

_SHARE = 4  # a quarter of what is free
_UNKNOWN = 2**30  # where the system does not say what is free


def budget_on(device: torch.device, asked: int | None = None) -> int:
    """`asked` bytes; a quarter of the device's free memory where nothing was asked."""
    return asked if asked is not None else _free(device) // _SHARE


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not Linux
        return _SHARE * _UNKNOWN
