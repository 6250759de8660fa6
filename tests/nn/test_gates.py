"""Gates multiply and change nothing else: neither shape nor dtype; a gated block starts as the identity and learns."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import LayerScale, Residual, ReZero, SkipInit

X = torch.arange(24.0).reshape(2, 3, 4) - 9
GATES: list[Callable[[], nn.Module]] = [
    ReZero,
    lambda: SkipInit(0.3),
    lambda: LayerScale(4),
    lambda: LayerScale(3, dims=1),
]


@pytest.mark.parametrize("gate", [ReZero(), SkipInit(), LayerScale(4, init=0), LayerScale(3, init=0, dims=1)])
def test_a_block_with_a_closed_gate_is_the_identity_and_learns(gate: nn.Module) -> None:
    branch = nn.Sequential(nn.Linear(4, 4), gate)
    block = Residual(branch)
    assert torch.equal(block(X), X)
    optimiser = torch.optim.SGD(block.parameters(), lr=1e-3)
    for _ in range(2):  # the first step opens the gate, the second reaches the branch
        optimiser.zero_grad()
        block(X).square().sum().backward()
        optimiser.step()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in block.parameters())


@given(sizes=st.lists(st.integers(1, 3), min_size=0, max_size=2), features=st.integers(1, 4), dims=st.integers(0, 3))
def test_layer_scale_multiplies_the_feature_dimension(sizes: list[int], features: int, dims: int) -> None:
    gate = LayerScale(features, dims=dims)
    nn.init.normal_(gate.gamma)
    x = torch.randn(*sizes, features, *range(2, 2 + dims))
    expected = (x.movedim(-1 - dims, -1) * gate.gamma).movedim(-1, -1 - dims)
    assert torch.equal(gate(x), expected)


def test_the_factors_are_the_papers_and_timm_s() -> None:
    from timm.layers import LayerScale as Theirs

    theirs = Theirs(4, 0.1)
    nn.init.normal_(theirs.gamma)
    ours = LayerScale(4)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(X), theirs(X))
    assert torch.equal(SkipInit(0.25)(X), X / 4)
    assert ReZero()(X).count_nonzero() == 0
    assert torch.equal(LayerScale(2).gamma, torch.full([2], 1e-5))


@pytest.mark.parametrize("make", GATES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_what_passes_keeps_its_dtype(make: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    x = X.to(dtype)
    assert make()(x).dtype == make().to(dtype)(x).dtype == dtype
    assert SkipInit()(torch.tensor(3.0)).shape == ()
    assert make()(X.to(torch.complex64)).dtype == torch.complex64


def test_a_small_scale_is_not_rounded_to_half_precision_first() -> None:
    gate = LayerScale(1, init=1.2e-6)  # in float16 alone this is 1.19e-6 at best, off by 0.7 %
    exact = (torch.tensor([[1000.0]], dtype=torch.float64) * 1.2e-6).half()
    assert torch.equal(gate(torch.tensor([[1000.0]]).half()), exact)


@pytest.mark.parametrize("make", GATES)
def test_copies_pickles_compilers_tracers_and_exporters_keep_them(make: Callable[[], nn.Module]) -> None:
    gate = make()
    for parameter in gate.parameters():
        nn.init.normal_(parameter)
    expected = gate(X)
    assert torch.equal(copy.deepcopy(gate)(X), expected)
    assert torch.equal(pickle.loads(pickle.dumps(gate))(X), expected)
    assert torch.equal(torch.compile(gate, fullgraph=True, backend="aot_eager")(X), expected)
    assert torch.equal(torch.fx.symbolic_trace(nn.Sequential(gate))(X), expected)
    assert torch.equal(torch.export.export(gate, (X,)).module()(X), expected)
    fresh = copy.deepcopy(gate).to("meta").to_empty(device="cpu")
    fresh.reset_parameters()  # type: ignore[operator]
    assert torch.equal(fresh(X), make()(X))


def test_what_they_say_of_themselves() -> None:
    gates = [ReZero(), SkipInit(0.5), LayerScale(8), LayerScale(8, dims=2)]
    assert [repr(gate) for gate in gates] == [
        "ReZero()",
        "SkipInit(init=0.5)",
        "LayerScale(8, init=1e-05)",
        "LayerScale(8, init=1e-05, dims=2)",
    ]
    assert ReZero().alpha.shape == (1,)  # a parameter without a dimension cannot be sharded


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: LayerScale(8)(torch.ones(4, 16)),
            "LayerScale: made for 8 features in dimension -1, called with 4x16. Use LayerScale(16).",
        ),
        (
            lambda: LayerScale(8)(torch.ones(4, 8, 5, 5)),
            "LayerScale: made for 8 features in dimension -1, called with 4x8x5x5. Dimension -3 has 8: "
            "use LayerScale(8, dims=2).",
        ),
        (
            lambda: LayerScale(8)(torch.ones(4, 1)),  # would broadcast
            "LayerScale: made for 8 features in dimension -1, called with 4x1. Use LayerScale(1).",
        ),
        (
            lambda: LayerScale(8)(torch.ones(8, 4, 4)),  # no batch, or eight samples
            "LayerScale: made for 8 features in dimension -1, called with 8x4x4. Bring the features there, or say with "
            "dims= how many spatial dimensions stand behind them.",
        ),
        (
            lambda: LayerScale(8)(torch.ones(2, 8, 1, 2, 3, 4)),  # dims=4 is refused
            "LayerScale: made for 8 features in dimension -1, called with 2x8x1x2x3x4. Bring the features there, or "
            "say with dims= how many spatial dimensions stand behind them.",
        ),
        (
            lambda: LayerScale(8)(torch.ones(4, 8).long()),
            "LayerScale: called with int64, which no learned factor fits. Use x.float().",
        ),
        (lambda: ReZero()(X > 0), "ReZero: called with bool, which no learned factor fits. Use x.float()."),
        (
            lambda: LayerScale(8, dims=2)(torch.ones(4, 6, 5, 5)),
            "LayerScale: made for 8 features in dimension -3, called with 4x6x5x5. Use LayerScale(6, dims=2).",
        ),
        (
            lambda: LayerScale(8, dims=2)(torch.ones(4, 5)),
            "LayerScale: made for 8 features in dimension -3, called with 4x5. Give an input with more than 2 "
            "dimensions, or a smaller dims=.",
        ),
        (lambda: LayerScale(0), "LayerScale: features=0. Give one feature or more."),
        (
            lambda: SkipInit(float("nan")),
            "SkipInit: init=nan is not a finite number. Give 0, or a small one such as 1e-5.",
        ),
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message
