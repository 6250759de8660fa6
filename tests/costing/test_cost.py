"""What layers cost, all of it together: few passes, the model as it was, every zoo model's blocks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from identikit.costing.cost import Cost, costs_of, parameters_of, pass_seconds
from identikit.families.anatomy import anatomy_of
from zoo import ZOO, Case, case


@pytest.mark.parametrize("known", ZOO, ids=lambda known: known.name)
def test_every_block_of_the_zoo_has_its_cost_and_the_model_is_as_before(known: Case) -> None:
    model = known.build()
    anatomy = anatomy_of(model, known.inputs(model))
    before = snapshot(model)
    drawn = torch.random.get_rng_state(), random.getstate()
    costs = costs_of(anatomy, anatomy.blocks())
    assert list(costs) == anatomy.blocks()
    fused = known.name.startswith("encoder_")
    for cost in costs.values():
        assert cost.seconds is not None
        assert 0.0 < cost.low <= cost.seconds <= cost.high
        assert 0.0 < cost.share <= 1.0
        assert (cost.flops is None, cost.memory is None) == (fused, fused)
    assert snapshot(model) == before
    assert torch.equal(torch.random.get_rng_state(), drawn[0])
    assert random.getstate() == drawn[1]


def snapshot(model: nn.Module) -> Any:
    return [
        (path, module.training, {name: id(value) for name, value in vars(module).items()}, hooks(module))
        for path, module in model.named_modules()
    ]


def hooks(module: nn.Module) -> int:
    return len(module._forward_hooks) + len(module._forward_pre_hooks)


class Stateful(nn.Module):
    """Keeps a state that its next pass would read, writes into its input, and tells who listens of each pass."""

    def __init__(self, tell: Callable[[torch.Size], None]) -> None:
        super().__init__()
        self.layer, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.tell = tell
        self.state = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert float(self.state) == 0.0  # every pass finds the model as the first one did
        self.state += 1.0
        self.tell(x.shape)
        return self.layer(x.add_(1.0))


def test_eight_passes_over_the_whole_batch_each_on_the_first_state() -> None:
    passes: list[torch.Size] = []
    model = Stateful(passes.append).train()
    x = torch.zeros(5, 4)
    anatomy = anatomy_of(model, x)
    passes.clear()
    costs = costs_of(anatomy, ["layer", "unused"])
    assert passes == [x.shape] * 8
    assert not x.any()
    assert model.training
    assert costs["layer"].flops == 2 * 5 * 4 * 4
    assert costs["layer"].memory == 5 * 4 * 4
    assert costs["unused"] == Cost()


def test_in_inference_mode_too() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    with torch.inference_mode():
        costs = costs_of(anatomy_of(model, torch.zeros(2, 3, 4)), ["0"])
    assert costs["0"].flops == 2 * 6 * 4 * 4
    assert costs["0"].memory == 6 * 4 * 4


def test_without_values_there_is_no_time_but_the_rest() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    costs = costs_of(anatomy_of(model, torch.zeros(3, 4)), ["0"])
    assert costs["0"] == Cost(flops=2 * 3 * 4 * 4, memory=3 * 4 * 4)


def test_a_pass_that_fails_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).train()
    anatomy = anatomy_of(model, torch.zeros(3, 4))
    model[1] = nn.Linear(5, 5)
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        costs_of(anatomy, ["0", "1"])
    assert snapshot(model) == before
    assert pass_hooks() == 0


def pass_hooks() -> int:
    """Hooks on every module there is: torch's counter uses some while it counts."""
    from torch.nn.modules import module

    return len(module._global_forward_hooks) + len(module._global_forward_pre_hooks)


def test_parameters_and_seconds() -> None:
    model = case("bert").build()
    layer = model.bert.encoder.layer[0]
    assert parameters_of(layer) == sum(value.numel() for value in layer.parameters())
    assert pass_seconds(anatomy_of(model, case("bert").inputs(model))) > 0.0
