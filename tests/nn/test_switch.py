"""A switch applies its layer to exactly those it should: a call, a model, the samples of a mask."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Identity, Switch, stream

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
ON = torch.tensor([True, False, True, True, False, False])


class Add(nn.Module):
    """Add something of each sample and something all of them share."""

    def forward(self, x: torch.Tensor, each: torch.Tensor | None = None, *, shared: float = 0.0) -> torch.Tensor:
        return x + shared + (0 if each is None else each)


def test_a_call_is_on_or_off_as_it_says_and_else_as_enabled_says() -> None:
    layer = nn.Linear(4, 6)
    switch = Switch(layer)
    expected = layer(X)
    assert torch.equal(switch(X), expected)
    assert switch(X, on=False) is X
    switch.enabled = False
    assert switch(X) is X
    assert torch.equal(switch(X, on=True), expected)
    assert list(switch.state_dict()) == ["layer.weight", "layer.bias"]


def test_off_takes_any_call_and_a_module_of_one_s_own() -> None:
    attention = nn.MultiheadAttention(4, 2)
    off = Switch(attention, enabled=False, off=Identity(returns=(stream, None)))
    assert off(X, X, X, need_weights=False) == (X, None)
    assert torch.equal(Switch(nn.ReLU(), off=nn.Tanh())(X, on=False), X.tanh())


@given(on=st.lists(st.booleans(), min_size=1, max_size=6), data=st.data())
def test_a_mask_gives_each_sample_exactly_its_own(on: list[bool], data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 3), max_size=2))
    x = torch.randn(len(on), *shape)
    switch = Switch(nn.Hardtanh())
    output = switch(x, on=torch.tensor(on))
    assert output.shape == x.shape
    for sample, row, into in zip(on, output, x, strict=True):
        assert torch.equal(row, nn.functional.hardtanh(into) if sample else into)


def test_a_masked_layer_runs_on_the_samples_that_are_on_and_no_others() -> None:
    norm = nn.BatchNorm1d(4)
    alone = copy.deepcopy(norm)
    expected = X.clone()
    expected[ON] = alone(X[ON])
    assert torch.equal(Switch(norm)(X, on=ON), expected)
    assert torch.equal(norm.running_mean, alone.running_mean)
    norm.register_forward_pre_hook(lambda *_: pytest.fail("nobody is on"))
    assert torch.equal(Switch(norm)(X, on=torch.zeros(6, dtype=torch.bool)), X)


def test_off_runs_on_the_samples_that_are_off() -> None:
    norm = nn.BatchNorm1d(4)
    Switch(nn.ReLU(), off=norm)(X, on=ON)
    torch.testing.assert_close(norm.running_mean, 0.1 * X[~ON].mean(0))


def test_a_mask_takes_samples_from_positional_tensors_and_leaves_keywords_whole() -> None:
    each = torch.arange(24.0).reshape(6, 4)
    expected = torch.where(ON[:, None], X + 2 + each, X)
    assert torch.equal(Switch(Add())(X, each, on=ON, shared=2.0), expected)
    assert torch.equal(Switch(Add())(X, None, on=ON, shared=2.0), torch.where(ON[:, None], X + 2, X))


@pytest.mark.parametrize("on", [ON, ON | True, ON & False])
def test_gradients_reach_the_samples_and_the_layer(on: torch.Tensor) -> None:
    layer, x = nn.Linear(4, 4), X.clone().requires_grad_()
    Switch(layer)(x, on=on).sum().backward()
    wanted = torch.where(on[:, None], layer.weight.sum(0), torch.ones(4))
    torch.testing.assert_close(x.grad, wanted)
    torch.testing.assert_close(layer.bias.grad, on.sum() * torch.ones(4))  # zero, not None, where nobody is on


@pytest.mark.parametrize("on", [ON, ON | True])
def test_under_autocast_a_mask_keeps_both_exact_in_the_wider_dtype(on: torch.Tensor) -> None:
    layer = nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, alone = Switch(layer)(X, on=on), layer(X)
    assert (output.dtype, alone.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(output[on], alone[on].float())
    assert torch.equal(output[~on], X[~on])


@pytest.mark.parametrize("enabled", [True, False])
def test_a_fixed_switch_exports_traces_and_compiles_to_what_it_is(enabled: bool) -> None:
    net = nn.Sequential(nn.Linear(4, 4), Switch(nn.Linear(4, 4), enabled=enabled), nn.ReLU())
    expected = net(X)
    exported = torch.export.export(net, (X,))
    assert torch.equal(exported.module()(X), expected)
    assert len([node for node in exported.graph.nodes if node.target == torch.ops.aten.linear.default]) == 1 + enabled
    assert torch.equal(torch.fx.symbolic_trace(net)(X), expected)
    assert torch.equal(torch.compile(net, fullgraph=True, backend="aot_eager")(X), expected)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(X), expected)


def test_a_compiled_switch_follows_its_call() -> None:
    switch = Switch(nn.Linear(4, 4))
    compiled = torch.compile(switch, fullgraph=True, backend="aot_eager")
    for on in (True, False, None, ON, ~ON):
        torch.testing.assert_close(compiled(X, on=on), switch(X, on=on), atol=1e-6, rtol=0)


class Root(nn.Module):
    """A layer whose gradient is not finite where a sample should not have reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.weight).sqrt()


@pytest.mark.parametrize("swapped", [False, True])
def test_a_compiled_mask_gives_the_gradients_of_the_plain_call(swapped: bool) -> None:
    found = []
    for compiled in (False, True):
        switch = Switch(nn.Tanh(), off=Root()) if swapped else Switch(Root())
        x = torch.tensor([[0.0], [4.0], [-1.0], [9.0]], requires_grad=True)
        on = torch.tensor([False, True, False, True])
        call = torch.compile(switch, fullgraph=True, backend="aot_eager") if compiled else switch
        output = call(x, on=on ^ swapped)
        output.sum().backward()
        found.append((output, x.grad, *(parameter.grad for parameter in switch.parameters())))
    assert all(tensor.isfinite().all() for tensor in found[0])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plain)


def test_a_compiled_mask_takes_no_samples_at_all() -> None:
    compiled = torch.compile(Switch(nn.Linear(4, 4)), fullgraph=True, backend="aot_eager")
    assert compiled(X[:0], on=ON[:0]).shape == (0, 4)


def test_an_exported_mask_holds_for_any_batch() -> None:
    switch = Switch(nn.Linear(4, 4))
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(switch, (X,), {"on": ON}, dynamic_shapes=(({0: batch},), {0: batch}))
    for x, on in [(X, ~ON), (X[:3], ON[:3]), (X, ON | True)]:
        torch.testing.assert_close(exported.module()(x, on=on), switch(x, on=on), atol=1e-6, rtol=0)


def test_on_the_meta_device_a_shape_goes_through() -> None:
    assert Switch(nn.Linear(4, 4)).to("meta")(X.to("meta"), on=ON.to("meta")).shape == X.shape


def test_a_compiled_mask_refuses_a_batch_norm_that_would_count_the_others() -> None:
    switch = Switch(nn.BatchNorm1d(4))
    with pytest.raises(Exception, match="the statistics of BatchNorm1d would count those that are off"):
        torch.export.export(switch, (X,), {"on": ON})
    torch.export.export(switch.eval(), (X,), {"on": ON})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the exporter's own
@pytest.mark.parametrize("enabled", [True, False])
def test_onnx_holds_the_layer_that_is_on_and_not_the_one_that_is_off(enabled: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = nn.Sequential(nn.Linear(4, 4), Switch(nn.Linear(4, 4), enabled=enabled), nn.ReLU()).eval()
    program = torch.onnx.export(net, (X,), tmp_path / "net.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (output,) = session.run(None, {session.get_inputs()[0].name: X.numpy()})
    torch.testing.assert_close(torch.from_numpy(output), net(X), atol=1e-6, rtol=1e-5)
    assert program is not None
    names = set(program.model.graph.initializers)
    assert any(name.startswith("1.layer") for name in names) == enabled


def test_what_it_says_of_itself() -> None:
    assert repr(Switch(nn.ReLU(), enabled=False)).splitlines()[1] == "  enabled=False"


def switched(layer: nn.Module, *args: Any, **kwargs: Any) -> Callable[[], object]:
    return lambda: Switch(layer)(*args, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            switched(nn.ReLU(), X, on=1),
            "Switch: on= is 1, not True, False or a boolean tensor with one value a sample.",
        ),
        (
            lambda: Switch(nn.ReLU(), enabled="no"),  # type: ignore[arg-type]
            "Switch: enabled= is 'no', not True or False. A mask goes to a call: on=.",
        ),
        (
            lambda: setattr(switch := Switch(nn.ReLU()), "enabled", None) or switch(X),  # type: ignore[func-returns-value]
            "Switch: enabled= is None, not True or False. A mask goes to a call: on=.",
        ),
        (
            switched(nn.ReLU(), X, on=torch.rand(6)),
            "Switch: on= is float32 of shape [6], not one boolean a sample. Compare first: on=(score > 0.5).",
        ),
        (
            switched(nn.ReLU(), X, on=ON[:, None]),
            "Switch: on= is bool of shape [6, 1], not one boolean a sample. Compare first: on=(score > 0.5).",
        ),
        (
            switched(nn.ReLU(), X, on=ON[:4]),
            "Switch: on= has 4 values, but argument 0 of the call is 6x4. Give one value a sample, and as keywords "
            "what all samples share.",
        ),
        (
            switched(Add(), X, torch.ones(4), on=ON),
            "Switch: on= has 6 values, but argument 1 of the call is 4. Give one value a sample, and as keywords what "
            "all samples share.",
        ),
        (
            switched(Add(), (X, X), on=ON),
            "Switch: argument 0 of a masked call is a tuple, which holds no samples to choose from. Give tensors, and "
            "as keywords what all samples share.",
        ),
        (
            switched(nn.ReLU(), input=X, on=ON),
            "Switch: a masked call without a positional tensor has no samples. Write switch(x, on=mask).",
        ),
        (
            switched(nn.Linear(4, 1), X, on=ON),  # would broadcast
            "Switch: in a masked call Linear returned 3x1 and Identity 3x4, which differ behind the samples. Give off= "
            "a module that makes them equal.",
        ),
        (
            switched(nn.Linear(4, 1), X, on=ON | True),
            "Switch: in a masked call Linear returned 6x1 and Identity 6x4, which differ behind the samples. Give off= "
            "a module that makes them equal.",
        ),
        (
            switched(nn.Flatten(0), X, on=ON),
            "Switch: in a masked call Flatten returned 12 for 3 samples. Wrap it in a module that returns one tensor "
            "with a row for each sample.",
        ),
        (
            switched(nn.LSTM(4, 4), X, on=ON),
            "Switch: in a masked call LSTM returned a tuple for 3 samples. Wrap it in a module that returns one tensor "
            "with a row for each sample.",
        ),
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message
