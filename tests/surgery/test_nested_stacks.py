"""Layers of an outer and of an inner stack removed together, and one after the other."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.structure.compare import difference
from identikit.surgery.carried import carried
from zoo import case


def nested() -> nn.Module:
    torch.manual_seed(0)
    stages = [nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3))) for _ in range(5)]
    return nn.Sequential(*stages).eval()


@pytest.mark.parametrize("places", [["0", "4.1"], ["0", "2.1"], ["3", "1.0", "1.2"]])
def test_together(places: list[str], tmp_path: Path) -> None:
    model, x = nested(), torch.randn(2, 4)
    with ik.bypass(model, places, inputs=x):
        expected = model(x)
    full = copy.deepcopy(model)
    removed = ik.remove(model, places, inputs=x)
    assert torch.equal(removed(x), expected)
    folder = ik.save(removed, tmp_path / "smaller", inputs=x)
    assert torch.equal(ik.load(folder, model=full, inputs=x)(x), expected)


@pytest.mark.parametrize("places", [["0", "4.1"], ["0", "2.1"], ["3", "1.0", "1.2"]])
def test_the_right_inner_stack_is_shortened(places: list[str]) -> None:
    model, x = nested(), torch.randn(2, 4)
    kept = [[layer for n, layer in enumerate(stage) if f"{s}.{n}" not in places] for s, stage in enumerate(model)]
    kept = [stage for number, stage in enumerate(kept) if str(number) not in places]
    assert [list(stage) for stage in ik.remove(model, places, inputs=x)] == kept


@pytest.mark.parametrize("format", ["plan", "checkpoint"])
def test_one_after_the_other(format: Literal["plan", "checkpoint"], tmp_path: Path) -> None:
    model, x = nested(), torch.randn(2, 4)
    full = copy.deepcopy(model)
    for place in ("0", "3.1", "1.0", "1", "2.1"):  # first: 0, 4.1, 2.0, 2, 4.2
        ik.remove(model, place, inputs=x)
    history = carried(model)
    assert history is not None
    assert history.plan.places == ("0", "2", "4.1", "4.2")
    assert [history.first_path(path) for path in ("0.0", "1.2", "2.0")] == ["1.0", "3.2", "4.0"]
    folder = ik.save(model, tmp_path / "smaller", format=format, inputs=x)
    assert torch.equal(ik.load(folder, model=full, inputs=x)(x), model(x))


class Picky(nn.Module):
    """Stages that run in a row; the layers of each are picked by number."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts[2](self.parts[1](self.parts[0](x)))


@pytest.mark.parametrize("calls", [[["1", "3.parts.1"]], [["1"], ["2.parts.1"]], [["3.parts.1"], ["1"]]])
@pytest.mark.parametrize("format", ["plan", "checkpoint"])
def test_a_stack_that_can_be_shortened_is_beside_one_that_cannot(
    calls: list[list[str]], format: Literal["plan", "checkpoint"], tmp_path: Path
) -> None:
    """However the removals are told, the same stacks are shortened: what was saved can be made again."""
    torch.manual_seed(0)
    model, x = nn.Sequential(*(Picky() for _ in range(4))).eval(), torch.randn(2, 4)
    full = copy.deepcopy(model)
    for places in calls:
        ik.remove(model, places, inputs=x)
    assert [[type(part).__name__ for part in stage.parts] for stage in model] == [
        ["Sequential", "Sequential", "Sequential"],
        ["Sequential", "Sequential", "Sequential"],
        ["Sequential", "Absent", "Sequential"],
    ]
    folder = ik.save(model, tmp_path / "smaller", format=format, inputs=x)
    assert torch.equal(ik.load(folder, model=full, inputs=x)(x), model(x))


@pytest.mark.parametrize("format", ["plan", "checkpoint"])
def test_t5(format: Literal["plan", "checkpoint"], tmp_path: Path) -> None:
    """A block goes; the parts inside one are picked by number, and no configuration can say that one is gone."""
    entry = case("t5")
    model = entry.build()
    inputs = entry.inputs(model)
    last = len(model.encoder.block) - 1
    ik.remove(model, ["encoder.block.1", f"encoder.block.{last}.layer.1"], inputs=inputs)
    assert len(model.encoder.block) == last
    assert type(model.encoder.block[-1].layer[1]).__name__ == "Absent"
    if format == "checkpoint":
        with pytest.raises(ik.IdentikitError, match="plan"):
            ik.save(model, tmp_path / "smaller", format=format)
        return
    loaded = ik.load(ik.save(model, tmp_path / "smaller", format=format))
    assert difference(inputs.call(loaded).logits, inputs.call(model).logits) == 0
