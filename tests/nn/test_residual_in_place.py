"""A residual block finds in-place edits of what its shortcut carries, in every mode, and lets the harmless ones be."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Identity, Residual, StochasticDepth
from nn.parts import X, mlp


class Adds(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x += 1
        return 2 * x


class AddsToAView(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.view(-1)[0] = 9
        return 2 * x


@pytest.mark.parametrize("branch", [Adds(), AddsToAView(), nn.Sequential(Identity(), Adds())])
@pytest.mark.parametrize("shortcut", ["identity", nn.Linear(8, 8)])
@pytest.mark.parametrize("inference", [False, True])
def test_a_branch_that_edits_its_input_is_refused(
    branch: nn.Module, shortcut: str | nn.Module, inference: bool
) -> None:
    block = Residual(branch, shortcut)
    with torch.inference_mode(inference):
        for _ in range(2):  # not checked off by a call that failed
            with pytest.raises(BlockError) as error:
                block(torch.randn(2, 8))
    assert str(error.value) == (
        "Residual: the input was edited in place, so the shortcut would carry the edited values. Look for operations "
        "such as += and relu_."
    )


def test_an_edit_that_only_evaluation_makes_is_seen_there() -> None:
    """A dropout hands on its input itself in evaluation, and a new tensor while training."""
    for first in (nn.Dropout(0.1), StochasticDepth(0.1)):
        block = Residual(nn.Sequential(first, nn.ReLU(inplace=True), nn.Linear(8, 8)))
        block(X)
        for inference in (False, True):
            with torch.inference_mode(inference), pytest.raises(BlockError, match="the input was edited in place"):
                block.eval()(torch.randn(2, 8))


def test_in_inference_mode_edits_are_counted_and_not_guessed_from_values() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * self.relu(x)

    block = Residual(Inner())
    with torch.inference_mode():
        for x in (torch.ones(2, 8), torch.full((2, 8), float("nan"))):  # values that relu_ leaves alone
            with pytest.raises(BlockError) as error:
                block(x)
    assert str(error.value) == (
        "Residual: the input was edited in place, so the shortcut would carry the edited values. Use inplace=False in "
        '"branch.relu" (ReLU(inplace=True)), or look for operations such as += and relu_.'
    )


def test_a_branch_may_edit_what_a_preactivation_made_for_it() -> None:
    branch = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8))
    block = Residual(branch, preactivation=nn.LayerNorm(8))
    x = X.clone().requires_grad_()
    block(x).sum().backward()
    assert torch.equal(x, X)
    assert torch.equal(block(X), X + branch(block.preactivation(X)))


def test_a_branch_may_edit_what_only_it_is_given() -> None:
    """A projection has read the preactivated input before the branch edits it."""
    block = Residual(
        nn.Sequential(nn.Identity(), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(8, 16)), "project",
        preactivation=nn.LayerNorm(8), in_features=8,
    )  # fmt: skip
    before = block.preactivation(X)
    with torch.no_grad():
        torch.testing.assert_close(block(X), block.shortcut(before) + block.branch(before.clone()))


def test_an_in_place_activation_first_is_refused_when_it_is_built() -> None:
    """Under torch.compile no call is watched, so what can be read is read."""
    message = (
        "Residual: the branch edits its input with ReLU(inplace=True), and the shortcut would carry the edited values. "
        "Use ReLU(inplace=False)."
    )
    leading = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8)))
    for build in (
        lambda: Residual(leading),
        lambda: Residual(mlp(), preactivation=nn.ReLU(inplace=True)),
        lambda: Residual(leading, "project_all", preactivation=nn.LayerNorm(8)),
    ):
        with pytest.raises(BlockError) as error:
            build()
        assert str(error.value) == message
    hidden = Residual(nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(8, 8)))
    with pytest.raises(BlockError, match=re.escape('Use inplace=False in "branch.1" (ReLU(inplace=True))')):
        hidden(torch.randn(2, 8))


def test_in_place_inside_the_branch_is_fine() -> None:
    block = Residual(nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 8)), activation=nn.ReLU(True))
    x = X.clone()
    block(x).sum().backward()
    assert torch.equal(x, X)
