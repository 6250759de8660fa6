"""Layers whose effect a product before the gap can take up exactly: then it does, whatever stands between."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from compensating.drawn import shared
from identikit.batches import Batch, as_batch
from identikit.compensating.compensate import compensated
from identikit.families.anatomy import anatomy_of
from identikit.surgery.choose import plan_for


class Rich(nn.Module):
    """x + scale * down([x, relu(up(x))]): what a linear layer behind it adds, `down` can add."""

    def __init__(self, size: int, *, bias: bool, scale: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(size, size), nn.Linear(2 * size, size, bias=bias)
        self.drop = nn.Dropout(0.5)
        self.scale = nn.Parameter(torch.linspace(0.1, 2.0, size)) if scale else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(self.down(torch.cat([x, self.up(x).relu()], -1)))
        return x + (y if self.scale is None else self.scale * y)


class Added(nn.Module):
    """x + a linear map of it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layer(x)


class Normed(nn.Module):
    """x + norm(conv(x)): the convolution has no bias, the norm's stands in."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(size, size, 3, padding=1, bias=False), nn.BatchNorm2d(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.conv(x))


def halved(batches: list[torch.Tensor]) -> tuple[list[Batch], list[Batch]]:
    return shared([as_batch(batch) for batch in batches])


def fold(layers: list[nn.Module], batches: list[torch.Tensor]) -> tuple[float, float, nn.Module, nn.Module]:
    model = nn.Sequential(nn.Sequential(*layers)).double().eval()
    anatomy = anatomy_of(model, batches[0])
    plan = plan_for(anatomy, ["0.1"])
    smaller, _, found = compensated(anatomy, plan, *halved(batches), "fold")
    (gap,) = found.gaps
    assert gap.before is not None
    assert gap.after is not None
    return gap.before, gap.after, model, smaller


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool, scale: bool) -> None:
    torch.manual_seed(0)
    layers = [Rich(6, bias=bias, scale=scale), Added(nn.Linear(6, 6, bias=bias)), nn.Linear(6, 3)]
    batches = [torch.randn(16, 5, 6, dtype=torch.float64) for _ in range(8)]
    before, after, model, smaller = fold(layers, batches)
    assert before > 0.05
    assert after < 1e-9
    with torch.no_grad():
        assert (model(batches[0]) - smaller(batches[0])).abs().max() < 1e-4


def test_convolution_whose_norm_has_the_bias() -> None:
    torch.manual_seed(0)
    layers = [Normed(4), Added(nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 2, 1)]
    with torch.no_grad():
        layers[0].norm.weight.uniform_(0.5, 2.0)  # type: ignore[union-attr, operator]
        layers[0].norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    before, after, _, smaller = fold(layers, [torch.randn(4, 4, 6, 6, dtype=torch.float64) for _ in range(8)])
    assert before > 0.05
    assert after < 1e-6
    assert not torch.equal(smaller[0][0].norm.bias, torch.zeros(4))  # type: ignore[index]


def test_an_adapter_is_any_linear_map() -> None:
    torch.manual_seed(0)
    layers = [Added(nn.Linear(6, 6)), Added(nn.Linear(6, 6)), nn.Linear(6, 2)]
    model = nn.Sequential(nn.Sequential(*layers)).double().eval()
    batches = [torch.randn(16, 6, dtype=torch.float64) for _ in range(8)]
    anatomy = anatomy_of(model, batches[0])
    _, plan, found = compensated(anatomy, plan_for(anatomy, ["0.1"]), *halved(batches), "adapter")
    assert found.gaps[0].after is not None
    assert found.gaps[0].after < 1e-9
    (edit,) = plan
    linear = model[0][1].layer  # type: ignore[index, union-attr]
    assert torch.allclose(plan.tensors[edit.tensors["weight"]], torch.eye(6).double() + linear.weight, atol=1e-4)


def test_gaps_are_filled_from_the_front() -> None:
    """A run of neighbours is one gap, two runs are two; the second sees what the first left."""
    torch.manual_seed(0)
    parts: list[nn.Module] = [Rich(4, bias=True, scale=False) for _ in range(6)]
    model = nn.Sequential(nn.Sequential(*parts), nn.Linear(4, 2)).eval()
    batches = [torch.randn(8, 4) for _ in range(8)]
    anatomy = anatomy_of(model, batches[0])
    plan = plan_for(anatomy, ["0.1", "0.2", "0.4"])
    _, _, found = compensated(anatomy, plan, *halved(batches), "fold")
    assert [gap.gone for gap in found.gaps] == [("0.1", "0.2"), ("0.4",)]
    assert [gap.into for gap in found.gaps] == ["0.0", "0.3"]


def test_the_first_layer_has_nothing_before_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(*[Rich(4, bias=True, scale=False) for _ in range(3)])).eval()
    batches = [torch.randn(8, 4) for _ in range(8)]
    anatomy = anatomy_of(model, batches[0])
    plan = plan_for(anatomy, ["0.0"])
    smaller, _, found = compensated(anatomy, plan, *halved(batches), "fold")
    assert found.gaps[0].why == "no layer stands before it"
    assert torch.equal(smaller[0][0].down.weight, model[0][1].down.weight)  # type: ignore[index, union-attr]


def test_what_does_not_help_is_taken_back() -> None:
    """The dropped layer did nothing: nothing can be nearer than what stood there, and its weights are as they were."""
    torch.manual_seed(0)
    idle = Added(nn.Linear(64, 64))
    model = nn.Sequential(nn.Sequential(Rich(64, bias=True, scale=False), idle, nn.Linear(64, 2))).eval()
    with torch.no_grad():
        for value in idle.parameters():
            value.zero_()
    batches = [torch.randn(2, 64) for _ in range(4)]
    anatomy = anatomy_of(model, batches[0])
    held = copy.deepcopy(model[0][0].state_dict())  # type: ignore[index, union-attr]
    smaller, _, found = compensated(anatomy, plan_for(anatomy, ["0.1"]), *halved(batches), "fold")
    assert found.gaps[0].why == "it does not help on other batches"
    assert found.filled == 0
    assert all(torch.equal(value, held[name]) for name, value in smaller[0][0].state_dict().items())  # type: ignore[index]


def test_what_the_model_scores_worse_with_is_taken_back() -> None:
    """Though the stream comes nearer: each gap is asked for on its own."""
    torch.manual_seed(0)
    parts: list[nn.Module] = [Rich(4, bias=True, scale=False) for _ in range(6)]
    model = nn.Sequential(nn.Sequential(*parts), nn.Linear(4, 2)).eval()
    batches = [torch.randn(8, 4) for _ in range(8)]
    anatomy = anatomy_of(model, batches[0])
    plan = plan_for(anatomy, ["0.1", "0.4"])
    values = iter([1.0, 0.5, 2.0])  # as dropped, with the first gap filled, with the second
    smaller, _, found = compensated(anatomy, plan, *halved(batches), "fold", lambda model: next(values))
    assert [gap.why for gap in found.gaps] == ["the model scores worse with it on other batches", ""]
    assert all(gap.after is not None and gap.before is not None and gap.after < gap.before for gap in found.gaps)
    kept, changed = smaller[0][0].down.weight, smaller[0][2].down.weight  # type: ignore[index, union-attr]
    assert torch.equal(kept, model[0][0].down.weight)  # type: ignore[index, union-attr]
    assert not torch.equal(changed, model[0][3].down.weight)  # type: ignore[index, union-attr]
