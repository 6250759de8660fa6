"""A copy keeps the strides, so that the same kernels run on it."""

from __future__ import annotations

import pytest
import torch

from identikit.structure.same_layout import same_layout

WHOLE = torch.arange(120.0).reshape(2, 6, 2, 5)
TENSORS = {
    "contiguous": WHOLE,
    "half of the channels": WHOLE.chunk(2, 1)[1],
    "every second": WHOLE[..., ::2],
    "turned": WHOLE.transpose(1, 3),
    "channels last": WHOLE.contiguous(memory_format=torch.channels_last),
    "half of the channels, last": WHOLE.contiguous(memory_format=torch.channels_last)[:, 3:],
    "one row": WHOLE[:1, 2:4],
    "a number": torch.tensor(3.0),
}


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS)
def test_strides_and_values(tensor: torch.Tensor) -> None:
    copy = same_layout(tensor)
    assert torch.equal(copy, tensor)
    assert copy.stride() == tensor.stride()
    before = tensor.clone()
    copy.add_(1)
    assert torch.equal(tensor, before)


def test_what_has_no_strides_of_its_own() -> None:
    expanded, windows = torch.ones(3, 1).expand(3, 4), torch.arange(6.0).unfold(0, 3, 1)
    for tensor in (expanded, windows, torch.eye(3).to_sparse()):
        copy = same_layout(tensor)
        assert torch.equal(copy.to_dense(), tensor.to_dense())
        if not copy.is_sparse:
            assert copy.is_contiguous()
            copy.zero_()
    assert bool(expanded.all())


def test_gradients_go_through() -> None:
    value = torch.randn(2, 6, requires_grad=True)
    same_layout(value[:, ::2]).sum().backward()
    assert value.grad is not None
    assert value.grad.tolist() == [[1, 0] * 3] * 2
