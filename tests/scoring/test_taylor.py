"""Taylor scores: a finite difference through all gates at once, exact where the model is linear, errors named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.batches import Batch, as_batch
from identikit.errors import MetricError, NotReachedError
from identikit.families.anatomy import Anatomy, anatomy_of
from identikit.metrics import resolve
from identikit.metrics.cost import cost
from identikit.plan import Plan
from identikit.scoring import taylor
from identikit.scoring.slopes import ChangeSlope
from laws.snapshot import Snapshot
from scoring.cheap import plans
from zoo import case

STEP = 1e-4
COARSE = ("llama", "t5")  # their norms work in float32, whatever the model: a wider step, and less of it holds


@contextmanager
def gated(model: nn.Module, anatomy: Anatomy, path: str, gate: float) -> Iterator[None]:
    """By hand: the layer's output between what enters (zeros for a branch) and what it returns."""
    branch = anatomy.verdict(path).role == "branch"

    entered: list[torch.Tensor] = []

    def before(_: Any, args: Any, kwargs: Any) -> None:
        entered.append((args[0] if args else kwargs["hidden_states"]).clone())

    def after(_: Any, __: Any, output: Any) -> Any:
        own = output["hidden"] if isinstance(output, dict) else output[0] if isinstance(output, tuple) else output
        stream = torch.zeros_like(own) if branch else entered[-1]
        made = stream + gate * (own - stream)
        if isinstance(output, dict):
            return {**output, "hidden": made}
        return (made, *output[1:]) if isinstance(output, tuple) else made

    layer = model.get_submodule(path)
    handles = [layer.register_forward_pre_hook(before, with_kwargs=True), layer.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def output_of(model: nn.Module, anatomy: Anatomy, batch: Batch) -> Any:
    with torch.no_grad(), anatomy.family.quiet(model):
        return batch.copied().call(model)


SITES = {
    "llama": ["model.layers.*", "model.layers.1.self_attn", "model.layers.2.mlp"],
    "bert": ["bert.encoder.layer.*"],
    "gpt2": ["transformer.h.*", "transformer.h.0.mlp"],
    "vit": ["vit.layers.*"],
    "resnet": None,
    "t5": None,
    "in_place": None,
    "dicts": None,
}


def small(name: str) -> tuple[Any, Batch, Anatomy, dict[str, Plan]]:
    """The model in float64, its batch, and a plan for each site."""
    entry = case(name)
    model = entry.build().double()
    batch = entry.inputs(model).to("cpu", torch.float64)
    anatomy = anatomy_of(model, batch)
    named = SITES[name]
    paths = anatomy.blocks() if named is None else anatomy.resolve(*named)
    return model, batch, anatomy, plans(anatomy, paths)


@pytest.mark.parametrize("name", [name for name in SITES if name != "vit"])
def test_the_change_of_the_output_is_a_finite_difference(name: str) -> None:
    """All sites from one backward pass; each by hand with the same random direction, two passes a site."""
    model, batch, anatomy, made = small(name)
    found = taylor.scores(anatomy, [batch], made, seed=3)
    step, near = (1e-3, 1e-2) if name in COARSE else (STEP, 1e-5)
    for path in made:
        totals = []
        for gate in (1 + step, 1 - step):
            with gated(model, anatomy, path, gate):
                output = output_of(model, anatomy, batch)
            totals.append(ChangeSlope(None, 3).by_example(output, batch))
        expected = ((totals[0] - totals[1]) / (2 * step)).abs()
        assert np.allclose(np.sqrt(found[path]), expected, rtol=near, atol=near * 0.1), path
        assert (found[path] > 0).all()


@pytest.mark.parametrize("name", ["llama", "bert", "vit", "gpt2"])
def test_the_change_of_the_loss_is_a_finite_difference(name: str) -> None:
    """The mean over the examples is the slope of the metric itself, tokens of unequal number included."""
    model, batch, anatomy, made = small(name)
    draw = torch.Generator().manual_seed(5)
    logits = output_of(model, anatomy, batch).logits
    causal = name in ("llama", "gpt2")
    labels = torch.randint(0, logits.shape[-1], logits.shape[:-1], generator=draw)
    if causal:
        labels[1, 4:] = -100
    task = "causal" if causal else "classes"
    labelled = replace(batch, target=labels)
    found = taylor.scores(anatomy, [labelled], made, metric=resolve(f"loss:{task}"))
    step, near = (1e-3, 1e-2) if name in COARSE else (STEP, 1e-5)
    for path in made:
        rows = []
        for gate in (1 + step, 1 - step):
            with gated(model, anatomy, path, gate):
                rows.append(cost(task, output_of(model, anatomy, batch).logits, labels))
        slope = (rows[0] - rows[1])[:, 0] / (2 * step)
        counts = rows[0][:, 1]
        assert np.allclose(found[path], -slope * len(counts) / counts.sum(), rtol=near, atol=near * 0.1)
        aggregate = (rows[0][:, 0].sum() - rows[1][:, 0].sum()) / (2 * step) / counts.sum()
        assert found[path].mean() == pytest.approx(-float(aggregate), rel=near, abs=near * 0.1)


class Parallel(nn.Module):
    """Branches side by side, each linear in the input: taking one out changes the one output number exactly so much."""

    def __init__(self, branches: int = 3, width: int = 4) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(width, 1) for _ in range(branches))
        self.carry = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.carry(x)
        for branch in self.branches:
            total = total + branch(x)
        return total


def test_a_linear_model_is_scored_exactly() -> None:
    """The squared change of a single number, and of the loss that is linear in it: no approximation is left."""
    torch.manual_seed(0)
    model = Parallel().double().eval()
    batch = as_batch(torch.randn(5, 4, dtype=torch.float64))
    anatomy = anatomy_of(model, batch)
    found = taylor.scores(anatomy, [batch], plans(anatomy, ["branches.0", "branches.2"], "zero"))
    for path, score in found.items():
        change = model.get_submodule(path)(batch.args[0]).detach().squeeze(1)
        assert np.allclose(score, change.square(), rtol=1e-12)
    both = taylor.scores(anatomy, [batch], together_as_zero(anatomy, ["branches.0", "branches.2"]))
    change = sum(model.get_submodule(path)(batch.args[0]).detach().squeeze(1) for path in found)
    assert np.allclose(both["branches.0 + branches.2"], change.square(), rtol=1e-12)


def together_as_zero(anatomy: Anatomy, group: list[str]) -> dict[str, Plan]:
    from identikit.surgery.choose import plan_for

    return {" + ".join(group): plan_for(anatomy, group, "zero")}


def test_the_random_direction_is_unbiased() -> None:
    """The mean over many seeds is |du/dg|^2 by finite differences of the whole output."""
    model, batch, anatomy, made = small("bert")
    path = anatomy.blocks()[2]
    drawn = [taylor.scores(anatomy, [batch], {path: made[path]}, seed=seed)[path] for seed in range(150)]
    slope = ChangeSlope(None, 0)
    sides = []
    for gate in (1 + STEP, 1 - STEP):
        with gated(model, anatomy, path, gate):
            sides.append(slope.directions(output_of(model, anatomy, batch), batch)[0])
    exact = ((sides[0] - sides[1]) / (2 * STEP)).square().sum(dim=(1, 2)).numpy()
    mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert (np.abs(mean - exact) < 4 * error).all()


def test_scores_do_not_depend_on_the_batches_or_on_padding() -> None:
    """Each example has its own draws, over its counted positions alone."""
    _, batch, anatomy, _ = small("llama")
    made = plans(anatomy)
    whole = taylor.scores(anatomy, [batch], made, seed=1)
    rows = [{name: value[row : row + 1] for name, value in batch.kwargs.items()} for row in range(2)]
    rows[1] = {name: value[:, :-3] for name, value in rows[1].items()}  # its padding
    apart = taylor.scores(anatomy, [as_batch(row) for row in rows], made, seed=1)
    other = taylor.scores(anatomy, [batch], made, seed=2)
    for path in made:
        assert np.allclose(whole[path], apart[path], rtol=1e-6)
        assert not np.allclose(whole[path], other[path], rtol=1e-2)


def test_the_model_is_as_it_was() -> None:
    """Mode, gradients, which weights learn; also inside torch.inference_mode."""
    model = case("bert").build().train()
    batch = case("bert").inputs(model)
    model.get_submodule("bert.encoder.layer.1").requires_grad_(False)
    learns = [parameter.requires_grad for parameter in model.parameters()]
    anatomy = anatomy_of(model, batch)
    made = plans(anatomy)
    before = Snapshot(model)
    found = taylor.scores(anatomy, [batch], made)
    with torch.inference_mode():
        again = taylor.scores(anatomy, [batch], made)
    assert before.changes(model) == []
    assert [parameter.requires_grad for parameter in model.parameters()] == learns
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(np.array_equal(found[path], again[path]) for path in made)


def test_what_has_no_gradient_is_an_error() -> None:
    class Detached(nn.Module):
        def __init__(self, where: str) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
            self.where = where

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for number, layer in enumerate(self.layers):
                x = layer(x) if number < 2 or len(x) > 1 else x
                x = x.detach() if self.where == "middle" and number == 1 else x
            return x.detach() if self.where == "end" else x

    x = as_batch(torch.randn(3, 4))
    for where, text in (("middle", r'no gradient reaches "layers\.0"'), ("end", "the output of Detached carries no")):
        anatomy = anatomy_of(Detached(where).eval(), x)
        made = plans(anatomy, ["layers.0", "layers.2"], "identity")
        with pytest.raises(MetricError, match=text + r'[^"]*.*"exact"'):
            taylor.scores(anatomy, [x], made)
    anatomy = anatomy_of(Detached("nowhere").eval(), x)
    with pytest.raises(NotReachedError, match=r'"layers\.2" did not run on the 2nd batch of the data, so taylor'):
        taylor.scores(anatomy, [x, x.head(1)], plans(anatomy, ["layers.0", "layers.2"], "identity"))


def test_what_is_not_finite_is_an_error() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    anatomy = anatomy_of(model, torch.randn(2, 4))
    bad = as_batch(torch.tensor([[1.0, 2.0, 3.0, 4.0], [torch.inf, 0.0, 0.0, 0.0]]))
    with pytest.raises(MetricError, match=r'taylor of "\d" is NaN for example 1 of a batch'):
        taylor.scores(anatomy, [bad], plans(anatomy, ["0", "1"]))


def test_what_replaces_a_layer_is_gated_too() -> None:
    """A mean: the gate lies between the layer's output and the mean."""
    from identikit.sources.objects import as_data
    from identikit.surgery.choose import plan_for

    torch.manual_seed(0)
    model = Parallel().double().eval()
    x = torch.randn(6, 4, dtype=torch.float64)
    anatomy = anatomy_of(model, x)
    plan = plan_for(anatomy, ["branches.1"], "mean", as_data([x]))
    found = taylor.scores(anatomy, [as_batch(x)], {"branches.1": plan})["branches.1"]
    output = model.branches[1](x).detach().squeeze(1)
    assert np.allclose(found, (output - output.mean()).square(), rtol=1e-6)
