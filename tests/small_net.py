"""A small model with a stack, its data, and the plain loop by hand: what tests of scanning and pruning share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.batches import Batch, as_batch
from identikit.metrics import Metric, resolve, rows_of
from identikit.surgery.carried import live_plans
from zoo import weigh

WIDTH = 6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class Net(nn.Module):
    """Four residual blocks with dropout, and a head of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(4))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def made() -> Any:
    """The same weights in every process, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return weigh(Net())


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Three batches of (inputs, labels): 5, 5 and 2 examples."""
    draw = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(12, WIDTH, generator=draw), torch.randint(0, 3, (12,), generator=draw)
    return list(zip(inputs.split(5), labels.split(5), strict=True))


@pytest.fixture
def net() -> Any:
    return made()


@pytest.fixture
def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return batches()


def by_hand(model: nn.Module, batches: Sequence[Any], places: Sequence[str], metric: str | Metric) -> tuple[Any, Any]:
    """The rows of the full model and of the one without `places`: a hook that gives back what came in, cloned."""
    judge = resolve(metric)
    full, edited = [], []

    def passed(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    with torch.no_grad():
        for raw in batches:
            batch = as_batch(raw)
            output = call(model, batch)
            reference = judge.reference(output, batch)
            full.append(rows_of(judge, output, batch, reference))
            hooks = [
                model.get_submodule(place).register_forward_hook(passed, with_kwargs=True, always_call=True)
                for place in places
            ]
            output = call(model, batch)
            for hook in hooks:
                hook.remove()
            edited.append(rows_of(judge, output, batch, reference))
    return np.concatenate(full), np.concatenate(edited)


def call(model: nn.Module, batch: Batch) -> Any:
    from identikit.families import family_of

    training = model.training
    model.eval()
    with family_of(model).quiet(model):
        output = batch.copied().call(model)
    model.train(training)
    assert not live_plans(model)
    return output
