"""A copy has weights of its own, whoever else holds the layer; what it refers to outside itself stays shared."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import IdentikitWarning, RoleError
from laws.snapshot import Snapshot

WIDTH = 8
X = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(x)))


class Chain(nn.Module):
    def __init__(self, block: type[nn.Module] = Block) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(block() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize("part", ["blocks.1", "blocks.1.down"])
def test_what_is_also_held_outside_without_being_registered_is_copied(part: str) -> None:
    """An attribute set past `nn.Module.__setattr__` registers nothing; the copy was the layer itself, and zeroed it."""
    model = Chain().eval()
    object.__setattr__(model, "known", model.get_submodule(part))
    before, output = Snapshot(model.blocks[1]), model(X)
    ik.insert(model, "blocks", after=1, inputs=X)
    assert torch.equal(model(X), output)
    assert before.changes(model.blocks[1]) == []
    with pytest.warns(IdentikitWarning):
        ik.duplicate(model, "blocks", 0, inputs=X)
    every = [weight for block in model.blocks for weight in block.parameters()]
    assert len({id(weight) for weight in every}) == 5 * 4
    assert model.known is model.get_submodule(part.replace("1", "2")), "the layer itself, which moved up"


def test_a_layer_that_refers_to_another_one_goes_on_doing_so() -> None:
    model = Chain().eval()
    for one, other in zip(model.blocks[1:], model.blocks, strict=False):
        object.__setattr__(one, "previous", other)
    ik.insert(model, "blocks", after=1, inputs=X)
    assert model.blocks[2].previous is model.blocks[0]


class Itself(Block):
    def __deepcopy__(self, memo: dict[int, Any]) -> Itself:
        return self


@pytest.mark.parametrize("verb", ["insert", "duplicate"])
def test_a_layer_whose_copy_is_itself_is_refused(verb: str) -> None:
    model = Chain(Itself).eval()
    before = Snapshot(model)
    with pytest.raises(RoleError) as refusal:
        getattr(ik, verb)(model, "blocks", **{"after" if verb == "insert" else "layers": 1}, inputs=X)
    assert str(refusal.value) == (
        '"blocks.1" cannot be copied: Itself says by itself how it is copied, and its copy goes on using the weights '
        "of the layer itself. Copy another layer."
    )
    assert before.changes(model) == []


def test_what_grew_in_inference_mode_learns() -> None:
    model = Chain()
    with torch.inference_mode():
        ik.insert(model, "blocks", after=0, inputs=X)
        with pytest.warns(IdentikitWarning):
            ik.duplicate(model, "blocks", 2, inputs=X)
    model(X).square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
