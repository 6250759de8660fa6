"""Bytes of weights as they lie in memory: each dtype its own, what is shared once, a packed tensor by its parts."""

from __future__ import annotations

import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from identikit.costing.stored import stored_bytes


def test_each_in_its_dtype() -> None:
    kinds = (torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.complex64)
    assert stored_bytes(torch.zeros(6, dtype=kind) for kind in kinds) == 6 * (4 + 2 + 1 + 1 + 8)
    assert stored_bytes([]) == 0


def test_what_is_shared_counts_once() -> None:
    weight = nn.Parameter(torch.zeros(6, 2))
    other = nn.Parameter(weight.data)  # another object, the same memory
    assert stored_bytes([weight, weight, other]) == 48
    halves = torch.zeros(8).split(4)  # two parts of one piece of memory
    assert stored_bytes([*halves, halves[0]]) == 32
    assert stored_bytes([torch.zeros(4), torch.zeros(4)]) == 32


def test_without_values() -> None:
    assert stored_bytes([torch.zeros(6, device="meta"), torch.zeros(6, device="meta")]) == 48


def test_a_packed_tensor_is_its_parts() -> None:
    assert stored_bytes([TwoTensor(torch.zeros(4), torch.zeros(4))]) == 32
