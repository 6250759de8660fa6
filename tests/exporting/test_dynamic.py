"""Which sizes may differ: learned by running, over the zoo and over sizes that are equal by chance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from exporting.conftest import ids_and_mask, layered
from identikit.batches import Batch, as_inputs
from identikit.exporting.dynamic import Group, learn
from identikit.exporting.export import run_of
from identikit.exporting.signature import signature_of
from identikit.families import family_of
from zoo import case


def learned(model: nn.Module, batch: Batch) -> dict[str, Group]:
    family = family_of(model)
    with family.quiet(model), torch.no_grad():
        signature = signature_of(model.forward, batch, batch.copied().call(model))
    run = run_of(model, family, signature)

    def runs(tensors: Any) -> bool:
        try:
            run(tensors)
        except (RuntimeError, ValueError, IndexError, AssertionError):
            return False
        return True

    return {group.name: group for group in learn(signature.tensors(), runs)[1]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert", {"batch": 2, "length": 2}),
        ("llama", {"batch": 2, "length": 2}),
        ("t5", {"batch": 3, "length": 2, "decoder_input_ids_length": 1}),
        ("bart", {"batch": 3, "length": 2, "decoder_input_ids_length": 1}),
        ("whisper", {"batch": 2, "length": 1}),
        ("vit", {"batch": 1}),
        ("resnet", {"batch": 1, "x_size_2": 1, "x_size_3": 1}),
        ("nested", {"batch": 1}),
        ("encoder_pre_norm", {"batch": 2, "length": 2}),
    ],
)
def test_zoo(name: str, expected: dict[str, int]) -> None:
    entry = case(name)
    model = entry.build()
    found = learned(model, entry.inputs(model))
    assert {group.name: len(group.places) for group in found.values()} == expected


def test_sizes_that_fit_a_grid_alone_are_found() -> None:
    entry = case("unet")
    model = entry.build()
    found = learned(model, entry.inputs(model))
    assert found["x_size_2"].others == (32, 8), "17 rows of pixels do not come back from three halvings"


def test_rows_and_length_of_equal_size_are_told_apart() -> None:
    found = learned(layered(), as_inputs(ids_and_mask(6, 6)))
    assert found["batch"].places == (("ids", 0), ("mask", 0))
    assert found["length"].places == (("ids", 1), ("mask", 1))


def test_a_length_as_large_as_the_features() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    found = learned(Two(), as_inputs(torch.randn(2, 4, 4)))
    assert {name: group.places for name, group in found.items()} == {"batch": (("x", 0),), "length": (("x", 1),)}


def test_a_row_alone_is_learned_on_two() -> None:
    found = learned(layered(), as_inputs(ids_and_mask(1, 6)))
    assert (found["batch"].size, found["batch"].others) == (2, (3,))


def test_a_mask_that_hides_nothing_is_tied_all_the_same() -> None:
    """BERT leaves such a mask out, so any size of it runs: it is learned on one that hides something."""
    model = case("bert").build()
    found = learned(
        model, as_inputs({"input_ids": torch.randint(9, 99, (2, 8)), "attention_mask": torch.ones(2, 8).long()})
    )
    assert [len(group.places) for group in found.values()] == [2, 2]


def test_what_a_model_insists_on_is_no_group() -> None:
    class Insisting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(3, 8).sum(1)

    assert learned(Insisting(), as_inputs(torch.randn(3, 8))) == {}
