"""Watching leaves no trace: weights, buffers, gradients, attributes, hooks, mode, random state, the user's batch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.batches import fingerprint
from identikit.families.anatomy import anatomy_of
from identikit.families.sites import sites
from identikit.surgery.apply import bypass
from laws.snapshot import Snapshot
from zoo import ZOO, Case

NAMES = [pytest.param(case, id=case.name) for case in ZOO]


def random_state() -> tuple[Any, ...]:
    numbers = np.random.get_state()
    return random.getstate(), numbers[0], numbers[1].tolist(), numbers[2:], torch.get_rng_state().tolist()


@pytest.mark.parametrize("case", NAMES)
def test_watching_and_proving_leave_no_trace(case: Case) -> None:
    model = case.build()
    batch = case.inputs(model)
    given, state, before = fingerprint(batch), random_state(), Snapshot(model)
    inner = f"{case.blocks()[0]}.*"
    sites(model, batch)
    if any(path.startswith(f"{case.blocks()[0]}.") for path, _ in model.named_modules()):
        sites(model, batch, at=inner)
    assert before.changes(model) == []
    assert random_state() == state
    assert fingerprint(batch) == given


@pytest.mark.parametrize("case", NAMES)
def test_the_mode_of_every_module_comes_back(case: Case) -> None:
    model = case.build()
    modules = list(model.modules())
    for number, module in enumerate(modules):
        module.training = number % 2 == 0  # as one freezes a part
    modes = [module.training for module in modules]
    with bypass(model, case.blocks()[-1], inputs=case.inputs(model)):
        assert [module.training for module in modules] == modes
    assert [module.training for module in modules] == modes


class Restless(nn.Module):
    """Everything that a forward pass can change: counters, statistics, caches, random numbers, its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("replaced", torch.zeros(4))
        self.register_buffer("late", None)
        self.seen: list[torch.Tensor] = []
        self.notes: dict[str, Any] = {"nested": [1]}
        self.names: set[str] = set()
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x += 1
        self.steps += 1
        self.passes += 1
        self.replaced = self.replaced + x.mean(0).detach()
        self.late = x.detach().clone()
        self.seen.append(x)
        self.notes["last"] = x
        self.names.add(f"pass {self.passes}")
        self.fresh = x * 2
        x = self.norm(x)
        x = x + torch.rand_like(x) + random.random() + float(np.random.rand())
        for layer in self.layers:
            if not layer._forward_hooks:
                layer.register_forward_hook(lambda *_: None)
            x = nn.functional.dropout(layer(x), 0.5, self.training)
        return x


@pytest.mark.parametrize("train", [False, True])
def test_a_model_that_changes_all_it_can(train: bool) -> None:
    model = Restless().train(train)
    x = torch.randn(8, 4)
    model(x.clone()).sum().backward()
    model.layers[0].register_forward_hook(lambda *_: None)
    x_before, state, before = x.clone(), random_state(), Snapshot(model)

    anatomy = anatomy_of(model, x)
    assert anatomy.blocks() == ["layers.0", "layers.1", "layers.2"]
    with bypass(model, "layers.1", inputs=x):
        pass
    assert before.changes(model) == []
    assert random_state() == state
    assert torch.equal(x, x_before), "the model writes into its input, but not into the user's"


def test_weights_that_need_gradients_keep_their_graphs() -> None:
    """A loss computed before is still ready to go backwards after watching."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1))
    loss = model(torch.ones(2, 4)).sum()
    sites(model, torch.ones(2, 4))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_hooks_that_transformers_installs_at_the_first_call_are_gone_again() -> None:
    case = next(case for case in ZOO if case.name == "llama")
    model = case.build()
    batch = case.inputs(model)
    before = Snapshot(model)
    sites(model, {**batch.kwargs, "output_attentions": True, "output_hidden_states": True})
    assert before.changes(model) == []
    assert not any(module._forward_hooks for module in model.modules())


def test_watching_works_inside_inference_mode() -> None:
    case = next(case for case in ZOO if case.name == "gpt2")
    model = case.build()
    batch = case.inputs(model)
    with torch.inference_mode():
        assert [site.ok for site in sites(model, batch.copied())] == [True] * 4
        with bypass(model, "transformer.h.0", inputs=batch.copied()):
            model(**batch.kwargs)


def test_a_model_in_use_by_a_forward_error_is_put_back() -> None:
    class Raising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2)])
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            raise KeyboardInterrupt

    model = Raising()
    before = Snapshot(model)
    with pytest.raises(KeyboardInterrupt):
        sites(model, torch.ones(1, 2))
    assert before.changes(model) == []
