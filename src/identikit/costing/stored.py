"""How many bytes weights and buffers take, as they lie in memory: in their own dtype, shared ones once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from identikit.structure.operations import memory


def stored_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """The bytes of all values; what several names hold counts once, of a packed tensor its parts."""
    pieces: dict[tuple[int, int, int], int] = {}
    for tensor in tensors:
        for part in _parts(tensor):
            size = part.numel() * part.element_size()
            pieces[memory(part), int(part.storage_offset()) if part.layout is torch.strided else 0, size] = size
    return sum(pieces.values())


def _parts(tensor: Any) -> Iterable[torch.Tensor]:
    """The tensors that a tensor is made of: itself, most often."""
    if not is_traceable_wrapper_subclass(tensor):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [part for name in names for part in _parts(getattr(tensor, name))]
