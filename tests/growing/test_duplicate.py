"""`duplicate`: layers repeated with weights of their own; it says how far the output moved; undone if it fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.batches import Batch, tensors_of
from identikit.errors import IdentikitWarning, PlanError, RoleError
from identikit.families import family_of
from identikit.surgery.carried import carried
from laws.snapshot import Snapshot
from laws.test_decoding import CLOSE, off
from zoo import Case, case


def run(model: nn.Module, batch: Batch) -> list[torch.Tensor]:
    with torch.no_grad(), family_of(model).quiet(model):
        return tensors_of(batch.copied().call(model))


def repeated(entry: Case, stack: str, layers: Any) -> nn.Module:
    model = entry.build()
    with pytest.warns(IdentikitWarning, match="grew from"):
        assert ik.duplicate(model, stack, layers, inputs=entry.inputs(model)) is model
    return model


def test_a_span_is_repeated_behind_itself_with_weights_of_its_own() -> None:
    entry = case("llama")
    model, first = repeated(entry, "model.layers", [1, 2]), entry.build()
    layers, old = model.model.layers, first.model.layers  # type: ignore[union-attr]
    for new, source in enumerate((0, 1, 2, 1, 2, 3)):
        assert torch.equal(layers[new].mlp.up_proj.weight, old[source].mlp.up_proj.weight)  # type: ignore[union-attr,index]
        assert layers[new].self_attn.layer_idx == new  # type: ignore[union-attr,index]
    assert layers[3].mlp.up_proj.weight is not layers[1].mlp.up_proj.weight  # type: ignore[union-attr,index]
    assert model.config.num_hidden_layers == 6  # type: ignore[union-attr]
    assert off(model, entry) < CLOSE
    assert carried(model).plan.edits == {ik.Edit("duplicate", "model.layers.2", (("count", 2),))}  # type: ignore[union-attr]


def test_it_computes_what_the_layers_in_that_order_compute() -> None:
    entry = case("nested")
    batch = entry.inputs(entry.build())
    model, first = repeated(entry, "stages.0", [0, 2]), entry.build()
    x = batch.args[0]
    with torch.no_grad():
        for number in (0, 0, 1, 2, 2):
            x = first.stages[0][number](x)  # type: ignore[index]
        assert torch.equal(run(model, batch)[0], first.head(first.stages[1](x)))  # type: ignore[index,operator]


def test_what_it_says() -> None:
    entry = case("bert")
    model = entry.build()
    batch = entry.inputs(model)
    before = run(model, batch)[0]
    with pytest.warns(IdentikitWarning) as said:
        ik.duplicate(model, "bert.encoder.layer", [1], inputs=batch)
    moved = float((run(model, batch)[0] - before).norm() / before.norm())
    assert str(said[0].message) == (
        '"bert.encoder.layer" grew from 4 to 5 layers: a copy of layer 1, 7,504 parameters more. On the example its '
        f"output moved by {moved:.0%} of its size, so train the model, or measure it before use."
    )


class Fixed(nn.Module):
    """Runs three layers, whatever there are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(3):
            x = torch.tanh(self.layers[number](x))
        return x


def test_a_stack_that_runs_otherwise_is_refused_and_left_as_it_was() -> None:
    model = Fixed()
    before = Snapshot(model)
    with pytest.raises(RoleError):
        ik.duplicate(model, "layers", [2], inputs=torch.randn(2, 4))
    assert before.changes(model) == []


def test_a_span_with_a_gap_from_before_is_refused() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    ik.remove(model, "model.layers.1", inputs=batch)
    with pytest.raises(PlanError) as refusal:
        ik.duplicate(model, "model.layers", [0, 1], inputs=batch)
    assert str(refusal.value) == (
        'the layers "model.layers.0" to "model.layers.1" were not next to each other in the model first loaded. '
        "Repeat them one by one, in calls of their own."
    )
