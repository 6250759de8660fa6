"""`torch.compile`, before the edit and after it, of the whole model, in place and of single layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from practice.where import PLACE, logits, without
from zoo import weigh

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Three layers that a loop calls: compiles in a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def net() -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = weigh(Net())
    assert isinstance(made, Net)
    return made


def short() -> torch.Tensor:
    """What Net gives for X without its second layer."""
    full = net()
    return full.layers[2](full.layers[0](X))


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, fullgraph=True, backend="eager")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    with torch.no_grad():
        yield
    torch._dynamo.reset()


@pytest.mark.parametrize("place", ["layers.1", "_orig_mod.layers.1"])
def test_a_compiled_model_takes_the_models_own_paths_and_the_wrappers(place: str) -> None:
    model = compiled(net())
    full = model(X)
    assert [site.path for site in ik.sites(model, X)] == ["layers.0", "layers.1", "layers.2"]
    with ik.bypass(model, place, inputs=X) as handle:
        assert handle.plan.places == ("layers.1",)
        assert torch.equal(model(X), short())
    assert torch.equal(model(X), full)


def test_a_removal_from_a_compiled_model_is_compiled_again() -> None:
    model = compiled(net())
    model(X)
    assert ik.remove(model, "layers.1", inputs=X) is model
    assert torch.equal(model(X), short())


def test_a_compiled_transformer_bypassed_and_then_removed() -> None:
    model = compiled(tiny.model("causal"))
    with ik.bypass(model, "model.layers.0"):
        torch.testing.assert_close(logits(model), logits(without("causal", 0)))
    ik.remove(model, "model.layers.0")
    torch.testing.assert_close(logits(model), logits(without("causal", 0)))


def test_what_is_saved_is_the_model_inside(tmp_path: Path) -> None:
    ik.save(ik.remove(compiled(tiny.model("causal")), PLACE), tmp_path / "short")
    assert torch.equal(logits(ik.load(tmp_path / "short")), logits(without("causal", 1)))
    assert ik.Plan.read(tmp_path / "short" / "plan.json").places == (PLACE,)


def test_one_plan_fits_the_model_and_its_compiled_self() -> None:
    with ik.bypass(net(), "layers.1", inputs=X) as handle:
        plan = handle.plan
    with ik.apply(compiled(net()), plan, inputs=X) as handle:
        assert handle.plan == plan


def test_a_removed_model_compiles_as_one_graph() -> None:
    model = compiled(ik.remove(net(), "layers.1", inputs=X))
    assert torch.equal(model(X), short())


@pytest.mark.parametrize("how", ["in place", "each layer"])
def test_compiled_without_a_wrapper_around_all(how: str) -> None:
    model = net()
    if how == "in place":
        model.compile(fullgraph=True, backend="eager")
    else:
        model.layers = nn.ModuleList(compiled(layer) for layer in model.layers)
    full = model(X)
    with ik.bypass(model, "layers.1", inputs=X):
        assert torch.equal(model(X), short())
    assert torch.equal(model(X), full)
    ik.remove(model, "layers.1", inputs=X)
    assert torch.equal(model(X), short())


def test_a_scan_and_a_prune_look_through_the_wrapper() -> None:
    model, data = compiled(net()), [X, X + 1]
    full = model(X)
    rows = ik.scan(model, data, progress=False).rows
    assert {row.places for row in rows} >= {("layers.1",)}
    pruned = ik.prune(model, data, drop=1, progress=False).model
    assert isinstance(pruned, Net)
    assert len(pruned.layers) == 2
    assert torch.equal(model(X), full)
