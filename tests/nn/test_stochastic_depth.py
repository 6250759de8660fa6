"""Stochastic depth equals torchvision's and timm's under a seed, and each scaling rule keeps what it promises."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from identikit.errors import BlockError
from identikit.nn import Residual, StochasticDepth, linear_schedule

X = torch.randn(64, 3, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("drop", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_torchvision_s_under_a_seed(mode: str, drop: float, training: bool, dtype: torch.dtype) -> None:
    from torchvision.ops import stochastic_depth

    layer, x = StochasticDepth(drop, mode=mode).train(training), X.to(dtype)
    for seed in range(5):
        torch.manual_seed(seed)
        theirs = stochastic_depth(x, drop, mode, training)
        torch.manual_seed(seed)
        assert torch.equal(layer(x), theirs)


def test_rows_are_timm_s_under_a_seed() -> None:
    from timm.layers import DropPath

    for ours, theirs in [
        (StochasticDepth(0.3), DropPath(0.3)),
        (StochasticDepth(0.3, scale="none"), DropPath(0.3, scale_by_keep=False)),
    ]:
        torch.manual_seed(1)
        expected = theirs(X)
        torch.manual_seed(1)
        assert torch.equal(ours(X), expected)


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_the_two_rules_have_one_mean_in_training_and_evaluation(mode: str) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 1)
    for scale, kept in [("train", 1 / 0.75), ("eval", 1.0), ("none", 1.0)]:
        layer = StochasticDepth(0.25, mode=mode, scale=scale)
        outputs = torch.cat([layer(x) for _ in range(400)])
        assert set(outputs.unique().tolist()) == {0.0, torch.tensor(kept).item()}
        gap = (outputs.mean() - layer.eval()(x).mean()).abs()
        assert (gap < 0.06) == (scale != "none")


def test_a_row_is_kept_or_dropped_whole_and_a_batch_too() -> None:
    torch.manual_seed(0)
    rows = StochasticDepth(0.5)(torch.ones(100, 3, 2)).flatten(1)
    assert torch.equal(rows.amin(1), rows.amax(1))
    assert rows.unique().numel() == 2
    assert all(StochasticDepth(0.5, mode="batch")(torch.ones(100, 3)).unique().numel() == 1 for _ in range(10))


def test_in_a_residual_block_a_dropped_branch_leaves_the_input() -> None:
    block = Residual(nn.Sequential(nn.Linear(2, 2), StochasticDepth(1.0)))
    assert torch.equal(block(X), X)
    assert not torch.equal(block.eval()(X), X)


@given(depth=st.integers(1, 50), drop=st.floats(0, 1), first=st.floats(0, 1))
def test_a_schedule_is_a_straight_line_that_ends_at_drop(depth: int, drop: float, first: float) -> None:
    schedule = linear_schedule(depth, drop, first=first)
    assert len(schedule) == depth
    assert schedule[-1] == drop
    assert schedule[0] == (first if depth > 1 else drop)
    steps = [after - before for before, after in pairwise(schedule)]
    assert all(step == pytest.approx((drop - first) / (depth - 1), abs=1e-9) for step in steps)
    assert all(0 <= each <= 1 for each in schedule)
    for each in schedule:
        StochasticDepth(each)


def test_the_schedules_of_timm_and_of_the_paper() -> None:
    from timm.layers import calculate_drop_path_rates

    assert linear_schedule(12, 0.3) == pytest.approx(calculate_drop_path_rates(0.3, 12), abs=1e-6)
    assert linear_schedule(54, 0.5, first=0.5 / 54) == pytest.approx([block / 54 * 0.5 for block in range(1, 55)])


@pytest.mark.parametrize("scale", ["train", "eval", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_copies_pickles_compilers_tracers_and_exporters_keep_it(scale: str, training: bool) -> None:
    layer = StochasticDepth(0.5, scale=scale).train(training)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    exported = torch.export.export(layer, (X,)).module(check_guards=False)
    # symbolic tracing knows no shapes, so it takes a layer that draws nothing: one in eval mode
    traced = layer if training else torch.fx.symbolic_trace(nn.Sequential(layer))
    torch.manual_seed(3)
    expected = layer(X)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), compiled, exported, traced):
        torch.manual_seed(3)
        assert torch.equal(other(X), expected)


def test_what_it_says_of_itself() -> None:
    assert repr(StochasticDepth(0.1)) == 'StochasticDepth(0.1, mode="row", scale="train")'


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: StochasticDepth(10),
            "StochasticDepth: 10 is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.",
        ),
        (
            lambda: StochasticDepth(float("nan")),
            "StochasticDepth: nan is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.",
        ),
        (
            lambda: StochasticDepth(0.1, mode="rows"),
            'StochasticDepth: no mode="rows". Did you mean "row"? Use one of "row", "batch".',
        ),
        (
            lambda: StochasticDepth(0.1, scale="keep"),
            'StochasticDepth: no scale="keep". Use one of "train", "eval", "none".',
        ),
        (
            lambda: StochasticDepth(0.1)(torch.tensor(1.0)),
            "StochasticDepth: called with a single number, which has no samples. Give [N, ...].",
        ),
        (
            lambda: StochasticDepth(0.1)(torch.ones(2, 3).long()),
            "StochasticDepth: called with int64, not floating numbers. Use x.float().",
        ),
        (
            lambda: StochasticDepth(0.1, scale="eval").eval()(torch.ones(2, 3, dtype=torch.complex64)),
            "StochasticDepth: called with complex64, not floating numbers. Use x.float().",
        ),
        (
            lambda: StochasticDepth("0.1"),  # type: ignore[arg-type]
            "StochasticDepth: '0.1' is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.",
        ),
        (lambda: linear_schedule(0, 0.1), "linear_schedule: depth=0. Give the number of blocks, at least 1."),
        (
            lambda: linear_schedule(3, 1.5),
            "linear_schedule: 1.5 is no probability. Give the share that is dropped, 0 to 1; 10 % is 0.1.",
        ),
    ],
)
def test_mistakes_are_said(call: Callable[[], object], message: str) -> None:
    with pytest.raises(BlockError) as raised:
        call()
    assert str(raised.value) == message
