"""A tap changes nothing, keeps only what it was asked to keep, and lets go of it."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from transformers.utils import ModelOutput

from identikit.errors import AbsentError
from identikit.nn import Identity, Tap
from identikit.nn.template import leaves

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def net(tap: Tap) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), tap, nn.ReLU(inplace=True), nn.Linear(4, 2))


def test_it_hands_on_the_very_object_of_any_call() -> None:
    assert isinstance(Tap(), Identity)
    for tap in (Tap(), Tap(keep=True)):
        assert tap(X) is X
        assert tap(None, X, mask=None) is X


def test_by_default_it_keeps_nothing_and_nothing_lives_on() -> None:
    tap, x = Tap(), torch.ones(3)
    gone = weakref.ref(tap(x))
    del x
    gc.collect()
    assert gone() is None
    assert not hasattr(tap, "value")


def test_it_keeps_the_last_value_as_it_passed_until_it_is_forgotten() -> None:
    tap = Tap(keep=True)
    model = net(tap)
    model(-X)
    model(X)
    assert torch.equal(tap.value, model[0](X))  # not what the ReLU behind it made of it
    assert not tap.value.requires_grad
    tap.forget()
    assert not hasattr(tap, "value")
    tap.forget()


def test_watching_collects_what_passes_within_the_block_and_no_more() -> None:
    tap = Tap()
    model = net(tap)
    with tap.watching() as seen:
        model(X)
        with tap.watching() as inner:
            model(X)
        model(-X)
    model(X)
    assert [len(seen), len(inner)] == [3, 1]
    assert torch.equal(seen[1], inner[0])
    assert torch.equal(seen[2], model[0](-X))
    with pytest.raises(ZeroDivisionError), tap.watching() as seen:
        raise ZeroDivisionError
    model(X)
    assert seen == []
    assert not hasattr(tap, "value")


def test_a_second_output_can_take_part_in_the_loss() -> None:
    tap = Tap(keep=True, detach=False)
    model = net(tap)
    model(X)
    tap.value.sum().backward()
    torch.testing.assert_close(model[0].weight.grad, X.sum(0).expand(4, 4))
    assert model[3].weight.grad is None


@dataclass
class Output:
    hidden: torch.Tensor
    layer: int


Pair = namedtuple("Pair", "first second")


def test_what_holds_tensors_passes_as_it_is_and_is_kept_as_copies() -> None:
    x = torch.ones(2, requires_grad=True) * 2
    for value in ((x, 1), [x, 1], {"a": x, "b": 1}, Pair(x, 1), Output(x, 1), ModelOutput(a=x, b=1), ((x, 1), None)):
        for detach in (True, False):
            tap = Tap(keep=True, detach=detach)
            assert tap(value) is value
            assert type(tap.value) is type(value)
            *_, number = parts = [part for part in leaves(tap.value) if part is not None]
            assert number == 1
            assert parts[0] is not x
            assert torch.equal(parts[0], x)
            assert parts[0].requires_grad is not detach


def test_what_holds_no_tensor_passes_and_is_kept() -> None:
    tap, cache = Tap(keep=True), object()
    assert tap(cache) is cache
    assert tap.value is cache


@pytest.mark.parametrize("detach", [True, False])
def test_copies_pickles_and_state_dicts_hold_no_value(detach: bool) -> None:
    tap = Tap("hidden", keep=True, detach=detach)
    model = net(tap)
    with tap.watching():
        expected = model(X)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert not hasattr(other[1], "value")
            assert torch.equal(other(X), expected)
            assert torch.equal(other[1].value, tap.value)
            assert other[1].label == "hidden"
    assert not any("1." in key for key in model.state_dict())


@pytest.mark.parametrize("keep", [False, True])
def test_exporters_and_tracers_leave_no_trace_of_it(keep: bool) -> None:
    tap = Tap(keep=keep)
    model = net(tap)
    with tap.watching() as seen:
        exported = torch.export.export(model, (X,))
        traced = torch.fx.symbolic_trace(model)
    assert [node.name for node in traced.graph.nodes][1:] == ["_0", "_2", "_3", "output"]
    targets = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    aten = torch.ops.aten
    assert targets == [aten.linear.default, aten.relu_.default, aten.linear.default]
    assert torch.equal(exported.module()(X), model(X))
    assert seen == []
    assert hasattr(tap, "value") == keep  # from the plain call


def test_compilers_keep_values_without_a_graph_break() -> None:
    tap = Tap(keep=True)
    model = net(tap)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for number in range(1, 6):
        output = compiled(X * number)
        torch.testing.assert_close(output, net(Tap())(X * number))
        torch.testing.assert_close(tap.value, model[0](X * number).detach())


def test_what_it_says_of_itself() -> None:
    assert repr(Tap()) == "Tap()"
    assert repr(Tap("hidden", keep=True, detach=False)) == "Tap('hidden', keep=True, detach=False)"


@pytest.mark.parametrize(
    ("tap", "name", "message"),
    [
        (
            Tap("hidden"),
            "value",
            "Tap('hidden') keeps no value. Use Tap(keep=True), or: with tap.watching() as seen: ...",
        ),
        (Tap(keep=True), "value", "Tap(keep=True) has kept no value yet. Call the model first."),
        (Tap(), "weight", 'Identity has no attribute "weight"'),
    ],
)
def test_reading_what_is_not_there_is_said(tap: Tap, name: str, message: str) -> None:
    with pytest.raises(AbsentError) as raised:
        getattr(tap, name)
    assert str(raised.value).startswith(message)
