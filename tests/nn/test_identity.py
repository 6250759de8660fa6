"""The identity takes any call, returns the stream, and survives every tool of the library it stands in."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from identikit.errors import AbsentError, BlockError
from identikit.nn import Argument, Identity, stream

X = torch.arange(6.0).reshape(2, 3)
MASK = torch.ones(2, dtype=torch.bool)


@pytest.mark.parametrize(
    "call",
    [
        ((X,), {}),
        ((X, MASK), {}),
        ((None, X), {}),
        ((), {"input": X}),
        ((), {"mask": None, "hidden_states": X, "past": object()}),
        ((object(), X), {"mask": MASK}),
    ],
)
def test_the_stream_is_the_first_tensor_of_any_call(call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    args, kwargs = call
    assert Identity()(*args, **kwargs) is X


def test_it_is_a_drop_in_for_the_identity_of_torch() -> None:
    assert isinstance(Identity(54, unused="x", bias=False), nn.Identity)
    assert list(Identity().state_dict()) == []
    for value in ("a word", (X, X), [X], {"a": X}, None, 3):
        assert Identity()(value) is nn.Identity()(value)


def test_an_argument_that_holds_tensors_comes_before_a_later_tensor() -> None:
    pair = (X, X)
    assert Identity()(pair, MASK) is pair


def test_the_stream_is_chosen_by_position_or_by_name() -> None:
    assert Identity(index=1)(MASK, X) is X
    assert Identity(index=-1)(MASK, MASK, X) is X
    assert Identity(name="value")(MASK, value=X) is X
    both = Identity(index=0, name="hidden_states")
    assert both(X) is both(hidden_states=X) is X


class _Output(NamedTuple):
    hidden: Any
    weights: Any


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ((stream, None), (X, None)),
        ([stream, [Argument("mask"), 1]], [X, [MASK, 1]]),
        ({"out": stream, "mask": Argument(name="mask")}, {"out": X, "mask": MASK}),
        (_Output(stream, None), _Output(X, None)),
        ((Argument(0), stream), (X, X)),
    ],
)
def test_a_template_is_filled(returns: Any, expected: Any) -> None:
    found = Identity(returns=returns)(X, mask=MASK)
    assert type(found) is type(expected)
    assert found == expected  # tensors compare by identity inside a container


def test_a_copy_can_be_edited_alone() -> None:
    x = X.clone()
    kept = Identity(copy=True)(x)
    kept += 1
    assert torch.equal(x, X)
    assert Identity(copy=True)(x) is not x
    pair = Identity(copy=True)((x, x))
    pair[0].zero_()
    nested = Identity(copy=True)({"a": x, "b": _Output(x, None)})
    nested["a"].zero_()
    nested["b"].hidden.zero_()
    assert torch.equal(x, X)


def test_options_may_change_later() -> None:
    layer = Identity()
    layer.copy = True
    assert layer(X) is not X
    layer.index = 1
    assert torch.equal(layer(MASK, X), X)


def test_the_error_of_a_call_without_the_stream_names_it() -> None:
    with pytest.raises(BlockError) as error:
        Identity(name="hidden_states")(X, mask=MASK)
    assert str(error.value) == (
        "Identity was called without Argument(name='hidden_states'): it was given 1 positional argument and the "
        "keywords "
        "['mask']. Say index= or name= anew."
    )
    with pytest.raises(BlockError) as error:
        Identity()()
    assert str(error.value) == "Identity was called without an argument. It returns what it is given: identity(x)."
    with pytest.raises(BlockError) as error:
        Identity(returns=(None, None))
    assert str(error.value) == (
        "Identity(returns=(None, None)) does not return the stream. Put identikit.nn.stream where the output goes: "
        "returns=(stream, None)."
    )


def test_reading_what_the_replaced_layer_had_says_so() -> None:
    plain = Identity()
    assert not hasattr(plain, "weight")
    assert getattr(plain, "eps", 3) == 3
    with pytest.raises(AbsentError) as error:
        _ = plain.weight
    assert str(error.value) == (
        'Identity has no attribute "weight"; the layer it stands for may have had one. Set it (identity.weight = ...), '
        "or "
        "keep the layer in place and put it out of action with identikit.bypass(model, place)."
    )
    with pytest.raises(AbsentError, match='no attribute "in_features"; the Linear it stands for has one'):
        _ = Identity.like(nn.Linear(3, 3), X).in_features
    plain.weight = X
    assert plain.weight is X


def test_like_learns_the_template_from_one_call() -> None:
    attention = nn.MultiheadAttention(4, 2).eval()
    q = torch.randn(3, 4)
    found = Identity.like(attention, (q, q, q))
    assert found.returns == (stream, None)
    assert found(q, q, q, need_weights=False) == (q, None)
    x = torch.randn(5, 8)
    assert Identity.like(nn.LSTM(8, 8), x)(x) == (x, (None, None))

    class Layer(nn.Module):
        def forward(self, hidden: torch.Tensor, *, mask: Any = None, cache: Any = None) -> dict[str, Any]:
            return {"hidden": hidden + 1, "mask": mask, "cache": cache, "weights": hidden[:1], "kind": "self"}

    cache = {"length": 3}
    like = Identity.like(Layer(), {"hidden": X, "mask": MASK, "cache": cache})
    expected = {"hidden": stream, "mask": Argument("mask"), "cache": Argument("cache"), "weights": None, "kind": "self"}
    assert like.returns == {**expected, "cache": {"length": 3}}, "a mapping is looked into"


def test_like_takes_inputs_with_a_graph_and_outputs_of_any_class() -> None:
    @dataclass
    class Found:
        hidden: Any
        weights: Any

    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> Found:
            return Found(x * 2, x[:1])

    inside = nn.Linear(3, 3)(X)  # as a hook would catch it: not a leaf
    found = Identity.like(Layer(), inside)(X)
    assert found == Found(X, None)


def test_like_leaves_the_layer_and_the_example_alone() -> None:
    class Layer(nn.BatchNorm1d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.add_(1))

    layer, x = Layer(3).train(), X.clone()
    Identity.like(layer, x)
    assert torch.equal(x, X)
    assert layer.training
    assert torch.equal(layer.running_mean, torch.zeros(3))


def test_like_refuses_what_it_cannot_know() -> None:
    with pytest.raises(BlockError) as error:
        Identity.like(nn.Linear(3, 5), X)
    assert str(error.value) == (
        "Identity.like(Linear): the layer makes 2x5 float32 out of 2x3 float32, so the identity cannot stand in for "
        "it. "
        "Take a layer that keeps the shape, or reshape with a projection."
    )
    with pytest.raises(BlockError) as error:
        Identity.like(_Twice(), X)
    assert str(error.value) == (
        "Identity.like(_Twice): 2 outputs have the stream's shape 2x3 float32. Say which goes on: returns=(stream, "
        "None)."
    )


class _Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x + 2


class _Net(nn.Module):
    def __init__(self, off: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.off = off
        self.last = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.off(self.first(x), None)
        return self.last(y[0] if isinstance(y, tuple) else y)


@pytest.mark.parametrize("off", [Identity(), Identity(returns=(stream, None)), Identity(copy=True), Identity(index=0)])
def test_copies_pickles_compilers_and_exporters_keep_it(off: Identity) -> None:
    net = _Net(off).eval()
    expected = net(X)
    assert torch.equal(copy.deepcopy(net)(X), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(X), expected)
    torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="aot_eager")(X), expected)
    exported = torch.export.export(net, (X,))
    torch.testing.assert_close(exported.module()(X), expected)
    assert len([node for node in exported.graph.nodes if "linear" in node.name]) == 2
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(X), expected)


def test_a_traced_graph_holds_no_trace_of_it() -> None:
    graph = torch.fx.symbolic_trace(_Net(Identity())).graph
    assert [node.op for node in graph.nodes] == ["placeholder", "call_module", "call_module", "output"]


# torch says at every quantised tensor that torchao takes over; until then people have these models
@pytest.mark.filterwarnings(
    "ignore:torch.quantize_per_tensor:UserWarning", "ignore:torch.ao.quantization:DeprecationWarning"
)
@pytest.mark.filterwarnings("ignore:Please use quant_min:UserWarning", "ignore:must run observer:UserWarning")
def test_it_runs_between_quantisation_stubs() -> None:
    quantisation = torch.ao.quantization
    net = nn.Sequential(quantisation.QuantStub(), nn.Linear(3, 3), Identity(), quantisation.DeQuantStub()).eval()
    bare = nn.Sequential(net[0], net[1], net[3])
    for model in (net, bare):
        model.qconfig = quantisation.default_qconfig
    outputs = []
    for model in (net, bare):
        prepared = quantisation.prepare(model)
        prepared(X)
        converted = quantisation.convert(prepared)
        outputs.append(converted(X))
    assert torch.equal(*outputs)
    assert type(converted[1]) is not nn.Linear


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the exporter's own
def test_onnx_keeps_the_arithmetic_and_drops_the_identity(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = _Net(Identity(returns=(stream, None))).eval()
    torch.onnx.export(net, (X,), tmp_path / "net.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    found = session.run(None, {session.get_inputs()[0].name: X.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), net(X))


def test_its_line_says_what_is_not_plain() -> None:
    assert repr(Identity()) == "Identity()"
    assert (
        repr(Identity(index=1, returns=(stream, None), copy=True))
        == "Identity(index=1, copy=True, returns=(stream, None))"
    )
