"""A copy of a tensor that lies in memory as the tensor does: kernels are picked by layout, and the last bits follow."""

from __future__ import annotations

import torch


def same_layout(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with the tensor's own strides; `clone` makes half of a chunked tensor contiguous.

    Of tensors that hold a value in several places at once (expanded ones), and of those without strides, a clone.
    """
    if tensor.layout is not torch.strided or tensor.is_nested or not _apart(tensor):
        return tensor.clone()
    return tensor.new_empty_strided(tensor.size(), tensor.stride()).copy_(tensor)


def _apart(tensor: torch.Tensor) -> bool:
    """Whether each value has a place of its own, with room between that a clone would close."""
    if tensor.is_contiguous() or tensor.numel() == 0:
        return False
    reach = 1  # of all values along the dimensions so far
    for stride, size in sorted(zip(tensor.stride(), tensor.size(), strict=True)):
        if size > 1:
            if stride < reach:
                return False
            reach += stride * (size - 1)
    return True
