"""A placeholder keeps a layer's place: names, count and the other layers' keys stay; the layer can be made later."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from identikit.errors import AbsentError, BlockError
from identikit.nn import Identity, Placeholder, maybe

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def net(norm: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), maybe(nn.BatchNorm1d, 4, momentum=0.05, when=norm), nn.Linear(4, 2))


def block(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU())


def test_children_and_the_keys_of_all_other_layers_stay() -> None:
    on, off = net(True), net(False)
    assert [name for name, _ in on.named_children()] == [name for name, _ in off.named_children()] == ["0", "1", "2"]
    assert [key for key in on.state_dict() if not key.startswith("1.")] == list(off.state_dict())
    assert off.load_state_dict(on.state_dict(), strict=False).missing_keys == []
    assert torch.equal(off(X), off[2](off[0](X)))


def test_on_it_is_the_layer_itself() -> None:
    layer = net(True)[1]
    assert (type(layer), layer.num_features, layer.momentum) == (nn.BatchNorm1d, 4, 0.05)


def test_restore_makes_the_layer_in_the_mode_of_its_place() -> None:
    off = net(False).eval()
    off[1] = off[1].restore()
    assert (type(off[1]), off[1].momentum, off[1].training) == (nn.BatchNorm1d, 0.05, False)
    assert list(off.state_dict()) == list(net(True).state_dict())
    place = maybe(nn.Linear, 4, 4, when=False)
    assert not torch.equal(place.restore().weight, place.restore().weight)  # fresh weights each time


def test_any_maker_of_modules_has_a_place() -> None:
    for maker in (block, functools.partial(nn.Linear, out_features=4), functools.partial(block)):
        place = maybe(maker, 4, when=False)
        assert isinstance(place, Placeholder)
        assert place.restore()(X).shape == (3, 4)
        assert place(X) is X
    assert maybe(block, 4)(X).shape == (3, 4)


def test_it_is_an_identity_that_takes_any_call() -> None:
    place = maybe(nn.MultiheadAttention, 4, 2, when=False)
    assert isinstance(place, Identity)
    assert place(X, X, X, need_weights=False) is X


def test_copies_pickles_compilers_tracers_and_exporters_keep_it() -> None:
    off = net(False).eval()
    expected = off(X)
    for other in (copy.deepcopy(off), pickle.loads(pickle.dumps(off))):
        assert torch.equal(other(X), expected)
        assert other[1].restore().momentum == 0.05
    assert torch.equal(torch.compile(off, fullgraph=True, backend="aot_eager")(X), expected)
    assert torch.equal(torch.fx.symbolic_trace(off)(X), expected)
    exported = torch.export.export(off, (X,))
    assert torch.equal(exported.module()(X), expected)
    assert len([node for node in exported.graph.nodes if node.op == "call_function"]) == 2


def test_what_it_says_of_itself() -> None:
    assert repr(net(False)[1]) == "Placeholder(BatchNorm1d(4, momentum=0.05))"
    assert repr(maybe(block, 4, when=False)) == "Placeholder(block(4))"
    place = net(False)[1]
    assert not hasattr(place, "weight")
    with pytest.raises(AbsentError) as raised:
        _ = place.weight
    assert str(raised.value) == (
        'Placeholder has no attribute "weight"; it keeps the place of BatchNorm1d(4, momentum=0.05), which is off. '
        "Make the layer first: net.layer = net.layer.restore()."
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: maybe(nn.BatchNorm1d, 4, when=nn.Sequential()),  # type: ignore[arg-type]
            "maybe: when= is a Sequential, not True or False. Say what you mean: when=layer is not None, or "
            "when=len(layers) > 0.",
        ),
        (
            lambda: maybe(nn.BatchNorm1d, 4, when=1),  # type: ignore[arg-type]
            "maybe: when= is an int, not True or False. Say what you mean: when=layer is not None, or "
            "when=len(layers) > 0.",
        ),
        (
            lambda: maybe(nn.ReLU(), when=False),
            "maybe: ReLU is already made. Give its class and arguments, maybe(ReLU, ...), or switch the module itself: "
            "Switch(module, enabled=False).",
        ),
        (
            lambda: maybe(None, 4),  # type: ignore[arg-type]
            "maybe: None makes no module. Give a class of module first: maybe(nn.BatchNorm1d, 64).",
        ),
        (
            lambda: maybe(dict, when=False),  # type: ignore[arg-type]
            "maybe: <class 'dict'> makes no module. Give a class of module first: maybe(nn.BatchNorm1d, 64).",
        ),
        (
            lambda: maybe(nn.BatchNorm1d, 4, momentun=0.05, when=False),
            "maybe: BatchNorm1d(4, momentun=0.05) cannot be made: got an unexpected keyword argument 'momentun'.",
        ),
        (
            lambda: maybe(getattr, when=False),
            "maybe: getattr() cannot be made: no signature found for builtin <built-in function getattr>.",
        ),
        (
            lambda: maybe(nn.Linear, 4, when=True),
            "maybe: Linear(4) cannot be made: missing a required argument: 'out_features'.",
        ),
        (lambda: maybe(lambda: 3, when=True), "maybe: <lambda>() made an int, not a module."),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message
