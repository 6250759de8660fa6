"""Buffers that no file holds: a loader makes them anew in full precision, though the model was cast after loading."""

from __future__ import annotations

from torch import nn


def in_dtypes_of(again: nn.Module, model: nn.Module) -> nn.Module:
    """`again` (loaded to be compared with `model`) with its floating buffers rounded as `model`'s are; returned.

    `model.to(torch.bfloat16)` rounds the angles of a rotary embedding too, which `from_pretrained(dtype=...)` does not:
    the values are the same, so a comparison has to be made in the same precision.
    """
    own = dict(model.named_buffers())
    for path, module in again.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            mine = own.get(f"{path}.{name}" if path else name)
            if mine is not None and mine.is_floating_point() and mine.dtype != buffer.dtype:
                module._buffers[name] = buffer.to(mine.dtype)
    return again
