"""Activation memory: hand-made layers of which one knows what is alive when, and laws over the zoo."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import profile, record_function

import tiny
from identikit.costing.cost import costs_of
from identikit.costing.counted import Counted, counted
from identikit.families.anatomy import anatomy_of
from identikit.structure.override import overriding
from practice.test_offload import HOW, offloaded
from zoo import ZOO, Case, case

X = torch.randn(8, 32)
SIZE = X.nbytes


class Run(nn.Module):
    """One function of the inputs and of the module itself."""

    def __init__(self, function: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(16, 16))
        self.kept: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


class Plus(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def memory(layer: nn.Module, x: torch.Tensor = X) -> int | None:
    return counts(nn.Sequential(layer), x, "0")["0"].memory


def counts(model: nn.Module, x: torch.Tensor, *paths: str) -> dict[str, Counted]:
    anatomy = anatomy_of(model.eval(), x)
    return counted(anatomy, {path: model.get_submodule(path) for path in paths})


def given_up(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
    first = x + 1
    del first
    return x + 2


def held(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
    first = x + 1
    second = x + 2
    return first.add_(second)


def through_a_view(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
    part = (x + 1)[:1]  # all of the memory lives as long as a part of it does
    return x + part


def into(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
    made = torch.empty(0)
    torch.add(x, 1, out=made)
    return made


def keeping(layer: Any, x: torch.Tensor) -> torch.Tensor:
    layer.kept.append(x + 1)
    return x + 1


def attention(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
    scores = x @ x.T
    scores = scores.softmax(-1)
    return scores @ x


SCORES = 8 * 8 * 4
KNOWN = [
    pytest.param(lambda _, x: x + 1, SIZE, id="one result"),
    pytest.param(lambda _, x: x.add_(1), 0, id="in place"),
    pytest.param(lambda _, x: x.view(-1).unsqueeze(0).T, 0, id="views"),
    pytest.param(lambda _, x: x + 1 + 1 + 1 + 1, 2 * SIZE, id="each dies when the next is there"),
    pytest.param(given_up, SIZE, id="dead before the next"),
    pytest.param(held, 2 * SIZE, id="both held"),
    pytest.param(through_a_view, 2 * SIZE, id="a view holds all"),
    pytest.param(into, SIZE, id="made larger afterwards"),
    pytest.param(keeping, 2 * SIZE, id="kept in an attribute"),
    pytest.param(attention, max(2 * SCORES, SCORES + SIZE), id="scores"),
    pytest.param(lambda _, x: x.expand(5, 8, 32), 0, id="a view of more values than it has"),
    pytest.param(lambda _, x: x.expand(5, 8, 32).contiguous(), 5 * SIZE, id="and its copy"),
    pytest.param(lambda _, x: x.half(), SIZE // 2, id="half precision"),
    pytest.param(lambda _, x: x.split(4)[0] + 1, SIZE // 2, id="a part"),
    pytest.param(lambda _, x: x.sort(-1), SIZE + 2 * SIZE, id="values and indices"),
    pytest.param(lambda layer, x: (layer.weight.to("meta"), x)[1], 0, id="a weight that is fetched"),
    pytest.param(lambda _, x: ((x + 1).to("meta"), x)[1], 2 * SIZE, id="a value that is sent"),
    pytest.param(lambda _, x: x.to_sparse().to_dense(), None, id="without memory of its own"),
]


@pytest.mark.parametrize(("function", "known"), KNOWN)
def test_known_bytes(function: Callable[..., Any], known: int | None) -> None:
    assert memory(Run(function)) == known


def test_the_attention_kernel_makes_no_scores() -> None:
    x = torch.randn(1, 1, 64, 8)
    fused = memory(Run(lambda _, q: F.scaled_dot_product_attention(q, q, q)), x)
    by_hand = memory(Run(lambda _, q: (q @ q.mT).softmax(-1) @ q), x)
    assert by_hand == 2 * 64 * 64 * 4
    assert fused is not None
    assert fused < 64 * 64 * 4


def test_each_layer_has_its_own_and_those_around_it_all_that_is_alive() -> None:
    chain = nn.Sequential(nn.Sequential(Plus(), Plus(), Plus()), Plus())
    found = counts(chain, X, "0", "0.0", "0.1", "0.2", "1")
    assert {path: each.memory for path, each in found.items()} == {
        "0": 2 * SIZE,
        "0.0": SIZE,
        "0.1": SIZE,
        "0.2": SIZE,
        "1": SIZE,
    }


def test_of_several_calls_the_one_that_needs_most() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Plus()

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(x[:1]), self.layer(x), self.layer(x[:2])

    assert counts(Model(), X, "layer")["layer"].memory == SIZE


def test_what_a_call_frees_makes_room() -> None:
    """A layer that gives up what it was the last to hold: less is alive after it than before."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Plus()
            self.free = Run(lambda _, held: held.__setitem__(0, held.pop()[:1].clone()) if len(held) > 1 else held[0])

        def forward(self, x: torch.Tensor) -> Any:
            holding = [x + 1, x + 2]
            self.free(holding)
            return self.layer(x) + holding[0]

    found = counts(Model(), X, "free", "layer")
    assert found["free"].memory == SIZE // 8
    assert found["layer"].memory == SIZE


@pytest.mark.parametrize("known", ZOO, ids=lambda known: known.name)
def test_a_module_needs_what_its_children_do(known: Case) -> None:
    """And no layer more than the whole model makes; the same the second time."""
    model = known.build()
    anatomy = anatomy_of(model, known.inputs(model))
    layers = {path: model.get_submodule(path) for path in anatomy.paths}
    found = {path: each.memory for path, each in counted(anatomy, layers).items()}
    assert found == {path: each.memory for path, each in counted(anatomy, layers).items()}
    for path, most in found.items():
        parent = found.get(path.rpartition(".")[0])
        if parent is not None and most is not None:
            assert parent >= most >= 0
    assert all(found[path] for path in anatomy.blocks() if not known.name.startswith("encoder_"))


@pytest.mark.long  # torch's profiler takes five seconds to start
@pytest.mark.parametrize("name", ["bert", "nested"])
def test_the_allocator_says_the_same(name: str) -> None:
    """The profiler sees every allocation; these models' kernels need nothing inside."""
    model = case(name).build()
    anatomy = anatomy_of(model, case(name).inputs(model))
    path = anatomy.blocks()[1]

    def marked(_: str, __: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with record_function("the layer"):
                return forward(*args, **kwargs)

        return run

    with overriding({path: model.get_submodule(path)}, marked), profile(profile_memory=True) as profiled:
        anatomy.run()
    events = profiled.profiler.kineto_results.events()
    start, end = next((event.start_ns(), event.end_ns()) for event in events if event.name() == "the layer")
    found = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    alive = list(accumulate(change for time, change in found if start <= time <= end))
    assert costs_of(anatomy, [path])[path].memory == max(alive) > 0


@pytest.mark.parametrize("how", HOW)
def test_weights_that_are_fetched_are_no_activations(how: str, tmp_path: Path) -> None:
    """The same FLOPs and bytes as of the model that was never put aside."""
    plain, aside = anatomy_of(tiny.model("causal"), tiny.IDS), anatomy_of(offloaded(how, tmp_path), tiny.IDS)
    paths = ["model.layers.0", "model.layers.1", "model.layers.1.mlp", "model.layers.1.self_attn"]
    one, other = costs_of(plain, paths), costs_of(aside, paths)
    assert [(one[path].flops, one[path].memory) for path in paths] == [
        (other[path].flops, other[path].memory) for path in paths
    ]
    assert all(other[path].seconds and other[path].flops and other[path].memory for path in paths)
    assert any(value.is_meta for value in aside.model.parameters())
