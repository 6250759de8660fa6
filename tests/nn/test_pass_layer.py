"""A pass layer is the identity until told otherwise, and changes no shape and no dtype."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Pass, RobustScale, pass_layer

X = torch.tensor([[-5.0, 0.5, 2.0], [1.0, -0.25, 50.0]])


def test_it_is_exactly_the_identity_by_default() -> None:
    assert pass_layer(X) is X
    assert Pass()(X) is X
    assert sum(parameter.numel() for parameter in Pass().parameters()) == 0


def test_norm_then_scale_then_shift_then_clamp() -> None:
    layer = Pass(norm=lambda x: x / 2, scale=torch.tensor([1.0, 2.0, 4.0]), shift=1, clamp=(None, 3.0))
    assert torch.equal(layer(X), (X / 2 * torch.tensor([1.0, 2.0, 4.0]) + 1).clamp(max=3.0))
    assert torch.equal(pass_layer(X, scale=2, shift=-1, clamp=(-1, 1)), (X * 2 - 1).clamp(-1, 1))


def test_a_learnable_one_starts_as_the_identity_and_learns() -> None:
    layer = Pass(learnable=True)
    assert torch.equal(layer(X), X)
    layer(X).sum().backward()
    assert layer.scale.grad.item() == X.sum().item()
    assert layer.shift.grad.item() == X.numel()
    wide = Pass(scale=torch.full((3,), 2.0), learnable=True)
    with torch.no_grad():
        wide.scale.mul_(3)
    wide.reset_parameters()
    assert wide.scale.tolist() == [2, 2, 2]
    assert wide.shift.item() == 0


def test_hard_clipping_stops_the_gradient_and_straight_through_does_not() -> None:
    for clip, expected in (("hard", [0, 1, 0]), ("straight_through", [1, 1, 1])):
        x = torch.tensor([-5.0, 0.5, 2.0], requires_grad=True)
        y = Pass(clamp=(-1, 1), clip=clip)(x)
        assert y.tolist() == [-1, 0.5, 1]
        y.sum().backward()
        assert x.grad.tolist() == expected


def test_straight_through_is_exact_at_infinity() -> None:
    x = torch.tensor([float("inf"), -float("inf")], requires_grad=True)
    assert Pass(clamp=(-1, 1), clip="straight_through")(x).tolist() == [1, -1]


def test_smooth_clipping_is_the_curve_of_realmlp() -> None:
    layer = Pass(clamp=(-3, 3), clip="smooth")
    torch.testing.assert_close(layer(X), X / (1 + (X / 3) ** 2).sqrt())
    far = torch.tensor([1e30, -1e30, float("inf")])
    torch.testing.assert_close(layer(far), torch.tensor([3.0, -3.0, 3.0]))
    aside = Pass(clamp=(0, 10), clip="smooth")(torch.linspace(-100, 100, 201))
    assert aside.min() >= 0
    assert aside.max() <= 10
    assert (aside.diff() >= 0).all()
    assert aside[105].item() == 5


def test_robust_scaling_goes_by_median_and_quartiles() -> None:
    column = torch.tensor([1.0, 2, 3, 4, 5000])
    seldom = torch.tensor([0.0, 0, 0, 0, 8])  # quartiles equal: two over the range
    never = torch.full((5,), 7.0)
    scale = RobustScale.fit(torch.stack([column, seldom, never], dim=1))
    assert scale.centre.tolist() == [3, 0, 7]
    assert scale.scale.tolist() == [0.5, 0.25, 0]
    x = torch.tensor([[5.0, 8.0, 9.0]])
    assert scale(x).tolist() == [[1, 2, 0]]
    layer = Pass.robust(torch.stack([column, seldom, never], dim=1))
    torch.testing.assert_close(layer(x), torch.tensor([[1 / (1 + 1 / 9) ** 0.5, 2 / (1 + 4 / 9) ** 0.5, 0.0]]))


def test_robust_scaling_keeps_far_off_columns_precise() -> None:
    """Centre first: `x * scale - centre * scale` would lose a time stamp's digits in float32."""
    stamps = torch.tensor([[1_600_000.0], [1_600_001.0], [1_600_002.0]])
    assert RobustScale.fit(stamps)(stamps).flatten().tolist() == [-1, 0, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Pass(scale=torch.ones(50))(torch.ones(4, 1)),
            "Pass: 4x1 came in and 4x50 would go out; a pass layer changes no shape. Give scale and shift as numbers "
            "or as one "
            "value for each of the 1 features, and a norm that keeps the shape.",
        ),
        (
            lambda: Pass(norm=nn.Linear(3, 2))(X),
            "Pass: 2x3 came in and 2x2 would go out; a pass layer changes no shape. Give scale and shift as numbers or "
            "as one "
            "value for each of the 3 features, and a norm that keeps the shape.",
        ),
        (
            lambda: pass_layer(torch.arange(3), scale=0.5),
            "Pass: scale, shift or clamp would turn int64 into float32; a pass layer casts nothing. Cast before it: "
            "x.to(torch.float32).",
        ),
        (
            lambda: Pass(clamp=(3, -3)),
            "Pass: clamp=(3, -3) leaves nothing between its bounds. Put the lower one first.",
        ),
        (
            lambda: Pass(clamp=3),
            "Pass: clamp=3 is not a pair. Use clamp=(low, high), with None on a side that is open.",
        ),
        (
            lambda: Pass(clamp=(0, None), clip="smooth"),
            'Pass: clip="smooth" bends towards two finite bounds. Give both: clamp=(-3, 3).',
        ),
        (
            lambda: Pass(clamp=(0, float("inf")), clip="smooth"),
            'Pass: clip="smooth" bends towards two finite bounds. Give both: clamp=(-3, 3).',
        ),
        (lambda: Pass(clamp=("0", 1)), "Pass: clamp=('0', 1) has a bound that is no number. Use clamp=(-1, 1)."),
        (
            lambda: Pass(scale=nn.Parameter(torch.ones(3))),
            "Pass: scale= is a parameter, which would not be trained. Use learnable=True.",
        ),
        (
            lambda: Pass(norm=lambda x: (x, 1))(X),
            "Pass: the norm returned a tuple, not a tensor. Give a norm that returns what passes.",
        ),
        (
            lambda: Pass(norm=lambda x: x.long())(X),
            "Pass: scale, shift or clamp would turn float32 into int64; a pass layer casts nothing. Cast before it: "
            "x.to(torch.int64).",
        ),
        (
            lambda: Pass(clip="smoth"),
            'Pass: no clip="smoth". Did you mean "smooth"? Use one of "hard", "straight_through", "smooth".',
        ),
        (
            lambda: pass_layer(X, clip="gentle"),
            'Pass: no clip="gentle". Use one of "hard", "straight_through", "smooth".',
        ),
        (
            lambda: RobustScale.fit(torch.tensor([[1.0, 2.0], [float("nan"), 3.0]])),
            "RobustScale: column 0 holds NaN or an infinite value. Fill or drop it first.",
        ),
        (
            lambda: RobustScale.fit(torch.ones(3, 2))(torch.ones(3, 1)),
            "RobustScale: measured on 2 features, called with a tensor of shape [3, 1]. Give the columns it was "
            "measured on, "
            "features last.",
        ),
        (
            lambda: RobustScale.fit(torch.ones(0, 2)),
            "RobustScale: cannot measure a float32 tensor of shape [0, 2]. Give a floating-point table [rows, "
            "features] with "
            "at least one of each.",
        ),
    ],
)
def test_what_it_refuses(make: object, message: str) -> None:
    with pytest.raises(BlockError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    "layer",
    [
        Pass(),
        Pass(scale=torch.tensor([1.0, 2.0, 3.0]), shift=1, clamp=(-1, 1), clip="straight_through"),
        Pass(learnable=True, norm=nn.LayerNorm(3)),
        Pass.robust(X),
    ],
)
def test_copies_pickles_compilers_and_exporters_keep_it(layer: Pass) -> None:
    expected = layer(X)
    assert torch.equal(copy.deepcopy(layer)(X), expected)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(X), expected)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(X), expected)
    torch.testing.assert_close(torch.export.export(layer, (X,)).module()(X), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(X), expected)
    torch.testing.assert_close(layer.double()(X.double()).float(), expected)


def test_the_dtype_stays() -> None:
    table = torch.randn(50, 3)
    layers = [
        Pass.robust(table),
        Pass.robust(table.double()),
        Pass(scale=torch.ones(3)),
        Pass(norm=lambda x: x.double()),
    ]
    for layer in layers:
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            assert layer(X.to(dtype)).dtype is dtype


def test_factors_are_not_rounded_to_the_dtype_of_the_input() -> None:
    for scale, x, expected in ((1e5, 0.1, 10000), (1e-8, 1e4, 1e-4)):
        for factor in (scale, torch.tensor(scale), torch.tensor([scale])):
            found = Pass(scale=factor)(torch.tensor([x]).half())
            torch.testing.assert_close(found, torch.tensor([expected]).half(), rtol=2e-3, atol=1e-7)


def test_what_is_given_is_not_shared() -> None:
    scale = torch.ones(3)
    layer = Pass(scale=scale)
    scale.mul_(5)
    assert torch.equal(layer(X), X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_robust_scaling_of_columns_at_the_edge_of_the_dtype(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny / 2**8  # a span that has no reciprocal
    table = torch.tensor([[0.0, -1.0], [tiny, 0.0], [2 * tiny, 1.0]], dtype=dtype)
    assert RobustScale.fit(table)(table).tolist() == [[0, -1], [0, 0], [0, 1]]


def test_autocast_parameters_do_not_widen_what_passes() -> None:
    layer = Pass(scale=torch.ones(3), learnable=True)
    assert layer(X.bfloat16()).dtype is torch.bfloat16


def test_its_line_says_what_is_not_the_identity() -> None:
    assert repr(Pass()) == "Pass()"
    layer = Pass(scale=2.0, shift=torch.zeros(3), clamp=(-1, 1), clip="smooth")
    assert repr(layer) == 'Pass(scale=2.0, shift=[3], clamp=(-1, 1), clip="smooth")'
