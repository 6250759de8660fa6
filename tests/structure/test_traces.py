"""Whatever a forward writes, watching puts back: containers however nested, arrays, tensors, weights, submodules."""

from __future__ import annotations

import copy
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.errors import IdentikitWarning, InputsError
from identikit.families.anatomy import anatomy_of
from identikit.structure.traceless import traceless
from laws.snapshot import Snapshot

X = torch.ones(2, 4)
Write = Callable[["Writing", torch.Tensor], None]


class Writing(nn.Module):
    """Three layers, and a forward that writes into what `held` says."""

    def __init__(self, held: Any, write: Write) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.held, self.write = held, write

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.write(self, x)
        for layer in self.layers:
            x = layer(x)
        return x


CONTAINERS = {
    "list in dict": ({"a": []}, lambda m, x: m.held["a"].append(x)),
    "dict in list in tuple": (([{"n": 0}],), lambda m, x: m.held[0][0].update(n=m.held[0][0]["n"] + 1)),
    "set in dict": ({"s": {1}}, lambda m, x: m.held["s"].add(2)),
    "deque": (deque([1], maxlen=2), lambda m, x: m.held.append(len(x))),
    "defaultdict": (defaultdict(list, a=[1]), lambda m, x: m.held["b"].append(1)),
    "list in defaultdict": (defaultdict(list, a=[1]), lambda m, x: m.held["a"].append(1)),
    "Counter": (Counter("aab"), lambda m, x: m.held.update("a")),
    "OrderedDict": (OrderedDict(a=1, b=2), lambda m, x: m.held.move_to_end("a")),
    "an empty one": ({}, lambda m, x: m.held.update(a=1)),
}


@pytest.mark.parametrize(("held", "write"), CONTAINERS.values(), ids=CONTAINERS)
def test_containers_hold_what_they_held_and_are_the_same_objects(held: Any, write: Write) -> None:
    held = copy.deepcopy(held)
    model, before = Writing(held, write), copy.deepcopy(held)
    anatomy_of(model, X)
    assert model.held is held
    assert held == before
    assert not isinstance(held, OrderedDict) or list(held) == list(before)


def test_a_container_that_holds_itself_is_put_back() -> None:
    held: list[Any] = [1]
    held.append(held)
    model = Writing(held, lambda m, x: m.held.append(2))
    anatomy_of(model, X)
    assert len(held) == 2
    assert held[1] is held


def test_tensors_and_arrays_in_attributes_are_put_back() -> None:
    held = {"t": torch.tensor([0.0, torch.nan]), "n": np.zeros(2), "o": np.array([None, 1], dtype=object)}

    def write(model: Writing, x: torch.Tensor) -> None:
        model.held["t"] += 1
        model.held["n"] += 1
        model.held["o"][0] = x
        model.plain += x.mean(0)
        model.plain.data.mul_(2)

    model = Writing(held, write)
    plain = model.plain = torch.zeros(4)
    anatomy_of(model, X)
    assert model.plain is plain
    assert plain.tolist() == [0.0] * 4
    assert held["t"][0] == 0
    assert held["t"].isnan().tolist() == [False, True]
    assert held["n"].tolist() == [0.0, 0.0]
    assert held["o"][0] is None


def add(model: Writing, x: torch.Tensor) -> None:
    model.layers[0].weight.data.add_(1)


def swap(model: Writing, x: torch.Tensor) -> None:
    model.layers[0].weight.data = torch.zeros(4, 4)


def set_it(model: Writing, x: torch.Tensor) -> None:
    model.layers[0].weight.copy_(torch.zeros(4, 4))


def other(model: Writing, x: torch.Tensor) -> None:
    model.layers[0].weight = nn.Parameter(torch.zeros(4, 4))


@pytest.mark.parametrize("write", [add, swap, set_it, other])
def test_small_weights_are_put_back(write: Write) -> None:
    model = Writing(None, write)
    before = Snapshot(model)
    anatomy_of(model, X)
    assert before.changes(model) == []


def test_weights_put_back_keep_their_graphs() -> None:
    model = Writing(None, lambda m, x: None)
    loss = model(X).sum()
    model.write = add
    anatomy_of(model, X)
    loss.backward()
    assert model.layers[0].weight.grad is not None


@pytest.mark.parametrize("counted", [True, False])
def test_a_large_weight_that_was_written_into_is_named(counted: bool) -> None:
    model = nn.Module()
    model.large = nn.Parameter(torch.zeros(200, 200))
    with pytest.warns(IdentikitWarning, match=r"writes into its weights \(large\)"), traceless(model):
        model.large.add_(1) if counted else model.large.data.add_(1)


def test_a_large_weight_whose_data_are_exchanged_is_put_back() -> None:
    model = nn.Module()
    model.large = nn.Parameter(torch.zeros(200, 200))
    place = model.large.data_ptr()
    with traceless(model):
        model.large.data = torch.ones(3)
    assert model.large.data_ptr() == place
    assert model.large.shape == (200, 200)


def test_layers_made_in_the_forward_are_gone_again() -> None:
    def write(model: Writing, x: torch.Tensor) -> None:
        if not hasattr(model, "late"):
            model.late = nn.Linear(4, 4)
            model.register_parameter("more", nn.Parameter(torch.ones(1)))
            model.__class__ = type("Settled", (Writing,), {})

    model = Writing(None, write)
    before = Snapshot(model)
    anatomy_of(model, X)
    assert before.changes(model) == []
    assert type(model) is Writing
    assert not hasattr(model, "late")


def test_a_model_made_in_inference_mode_is_put_back() -> None:
    with torch.inference_mode():
        model = Writing(torch.zeros(4), lambda m, x: m.held.add_(1))
        anatomy_of(model, X)
        assert model.held.tolist() == [0.0] * 4


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_lazy_layers_are_named_before_anything_runs() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(4))
    with pytest.raises(InputsError, match=r'^"1" is lazy: run the model once'):
        anatomy_of(model, X)
    assert isinstance(model[1], nn.LazyLinear)
    model(X)
    assert anatomy_of(model, X).verdict("1").role == "block"
