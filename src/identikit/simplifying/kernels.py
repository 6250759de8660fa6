"""Kernels laid over one another: parallel convolutions, and scales of their input, as one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from identikit.simplifying.affine import Affine


def merged_kernels(
    main: Any, convolutions: Sequence[Any], scales: Sequence[Affine]
) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    """Weight and bias, in float64, of one convolution with the geometry of `main` that is the sum of all.

    A smaller kernel lies where it reads the same points: (its padding less) from the edge. None where strides, groups
    or dilations differ, a kernel does not fit, or what is padded is not zeros.
    """
    weight = torch.zeros_like(main.weight.detach(), dtype=torch.float64)
    biases = []
    for each in convolutions:
        where = _place(main, each)
        if where is None:
            return None
        weight[(slice(None), slice(None), *where)] += each.weight.detach().double()
        biases += [] if each.bias is None else [each.bias.detach().double()]
    for scale in scales:
        centre = _centre(main)
        if centre is None or main.in_channels != main.out_channels or scale.scale.numel() != main.in_channels:
            return None
        channels = torch.arange(main.out_channels, device=weight.device)
        within = channels % (main.in_channels // main.groups)
        weight[(channels, within, *centre)] += scale.scale.to(weight)
        biases += [scale.shift.to(weight)]
    return weight, sum(biases[1:], biases[0]) if biases else None


def _place(main: Any, other: Any) -> tuple[slice, ...] | None:
    """Where the kernel of `other` lies in that of `main`."""
    same = all(getattr(main, name) == getattr(other, name) for name in ("stride", "groups", "transposed"))
    plain = all(not each.transposed and not isinstance(each.padding, str) for each in (main, other))
    if not same or not plain or len(main.kernel_size) != len(other.kernel_size):
        return None
    if other is main or (other.kernel_size, other.padding) == (main.kernel_size, main.padding):
        alike = (other.dilation, other.padding_mode) == (main.dilation, main.padding_mode)
        return tuple(slice(None) for _ in main.kernel_size) if alike else None
    found = []
    for size, padding, its_size, its_padding in zip(
        main.kernel_size, main.padding, other.kernel_size, other.padding, strict=True
    ):
        start = padding - its_padding
        if start < 0 or start + its_size > size or size - 2 * padding != its_size - 2 * its_padding:
            return None
        found.append(slice(start, start + its_size))
    dilated = {*main.dilation} != {1} or ({*other.dilation} != {1} and {*other.kernel_size} != {1})
    # A kernel of one point pads nothing, so what the main one pads does not matter to it.
    padded = any(other.padding) and (other.padding_mode != "zeros" or main.padding_mode != "zeros")
    return None if dilated or padded else tuple(found)


def _centre(main: Any) -> tuple[int, ...] | None:
    """The point of the kernel that reads where it writes; None where there is none."""
    geometry = isinstance(main.padding, str) or main.transposed or {*main.stride} != {1} or {*main.dilation} != {1}
    if geometry or any(size != 2 * pad + 1 for size, pad in zip(main.kernel_size, main.padding, strict=True)):
        return None
    return tuple(main.padding)
