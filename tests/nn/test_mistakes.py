"""What the blocks never do, over many sizes: broadcast, edit what they were given, return another width than asked."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Identity, PadShortcut, Residual, residual_block

SIZES = st.integers(1, 6)
PADS = st.sampled_from(["pad", "project"])
SHAPES = st.lists(SIZES, min_size=1, max_size=3).map(tuple)


class Gives(nn.Module):
    """A branch or shortcut that makes one shape, whatever comes in."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(self.shape)


@given(out=SHAPES, skip=SHAPES)
def test_nothing_is_broadcast(out: tuple[int, ...], skip: tuple[int, ...]) -> None:
    block = Residual(Gives(out), Gives(skip))
    x = torch.zeros(7)
    if out == skip:
        assert torch.equal(block(x), torch.full(out, 2.0))
        return
    with pytest.raises(BlockError) as refused:
        block(x)
    for shape in (out, skip):
        assert "x".join(map(str, shape)) in str(refused.value)


IN_PLACE = {
    "relu": nn.ReLU(inplace=True),
    "behind an identity": nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)),
    "behind a view": nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True)),
    "behind dropout that is off": nn.Sequential(nn.Dropout(0.0).eval(), nn.SiLU(inplace=True)),
}


@pytest.mark.parametrize("branch", IN_PLACE.values(), ids=IN_PLACE)
@pytest.mark.parametrize("grad", [True, False, None], ids=["grad", "no_grad", "inference"])
def test_a_branch_that_edits_its_input_is_refused(branch: nn.Module, grad: bool | None) -> None:
    said = r"the shortcut would carry the edited values\. Use .*(ReLU|SiLU)\(inplace="
    with torch.inference_mode(grad is None), torch.set_grad_enabled(bool(grad)), pytest.raises(BlockError, match=said):
        Residual(branch)(torch.tensor([[-1.0, 2.0]]))


@pytest.mark.parametrize("shortcut", ["identity", "pad", "project", "project_all"])
@pytest.mark.parametrize("merge", ["add", "concat", "gate"])
def test_the_callers_tensor_is_never_edited(shortcut: str, merge: str) -> None:
    block = Residual(nn.Linear(4, 4), shortcut, merge=merge, activation=nn.ReLU(inplace=True))
    x = torch.randn(3, 4)
    before = x.clone()
    assert block(x) is not x
    assert torch.equal(x, before)


@given(
    into=SIZES,
    out=SIZES,
    stride=st.integers(1, 3),
    side=st.integers(1, 7),
    shortcut=st.sampled_from(["pad", "project"]),
)
def test_the_size_that_was_asked_for_comes_out(into: int, out: int, stride: int, side: int, shortcut: str) -> None:
    assume(shortcut == "project" or out >= into)
    block = residual_block(into, out, stride=stride, shortcut=shortcut).eval()
    small = -(-side // stride)
    assert block(torch.zeros(2, into, side, side)).shape == (2, out, small, small)


@given(into=SIZES, out=SIZES, stride=st.integers(1, 3))
def test_an_identity_shortcut_is_refused_wherever_sizes_change(into: int, out: int, stride: int) -> None:
    branch = nn.Conv2d(into, out, 3, stride=stride, padding=1)
    if into == out and stride == 1:
        Residual(branch)(torch.zeros(1, into, 4, 4))
        return
    with pytest.raises(BlockError, match="but the shortcut is the identity"):
        Residual(branch)


@given(into=SIZES, more=st.integers(0, 5), side=st.sampled_from(["both", "front", "behind"]))
def test_padding_keeps_every_value_in_order(into: int, more: int, side: str) -> None:
    x = torch.arange(1.0, into + 1)
    padded = PadShortcut(into, into + more, side=side)(x)
    assert torch.equal(padded[padded != 0], x)
    assert len(padded) == into + more


def test_a_copy_is_nobody_elses_tensor() -> None:
    x = torch.ones(3)
    kept = Identity(copy=True)(x)
    x.zero_()
    assert kept.tolist() == [1, 1, 1]
