"""Streaming least squares against numpy's, which sees all rows at once."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from identikit.replacing.fit import LeastSquares

IN, OUT = 5, 3


def data(rows: int, *, seed: int = 0, features: int = IN) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of unequal size about unequal means, and noisy linear outputs."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=draw, dtype=torch.float64)
    x = x * torch.logspace(-2, 2, features, dtype=torch.float64) + torch.linspace(-3, 3, features)
    weight = torch.randn(OUT, features, generator=draw, dtype=torch.float64)
    return x, x @ weight.T + 1.5 + 0.3 * torch.randn(rows, OUT, generator=draw, dtype=torch.float64)


def shown(x: torch.Tensor, y: torch.Tensor, *cuts: int) -> LeastSquares:
    """The sums over the rows, handed over in parts."""
    sums = LeastSquares(x.shape[1], y.shape[1])
    for part in torch.tensor_split(torch.arange(len(x)), cuts):
        sums.add(x[part], y[part])
    return sums


def lstsq(x: torch.Tensor, y: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Weight [out, in] and bias by numpy, the smallest ones where several fit equally."""
    middle = x.mean(0)
    found = np.linalg.lstsq((x - middle).numpy(), (y - y.mean(0)).numpy(), rcond=1e-10)[0]
    return found.T, y.mean(0).numpy() - found.T @ middle.numpy()


@pytest.mark.parametrize("cuts", [(), (1,), (40, 41, 150), (0, 199)], ids=str)
def test_it_is_what_numpy_finds_however_the_rows_come(cuts: tuple[int, ...]) -> None:
    x, y = data(200)
    found = shown(x, y, *cuts).solve(ridge=0.0)
    weight, bias = lstsq(x, y)
    np.testing.assert_allclose(found.weight.numpy(), weight, rtol=1e-8)
    np.testing.assert_allclose(found.bias.numpy(), bias, rtol=1e-8)


def test_without_a_bias() -> None:
    """Through zero, though the rows lie far from it."""
    x, y = data(200)
    found = shown(x + 3.0, y - 2.0, 50).solve(0.0, bias=False)
    expected = np.linalg.lstsq((x + 3.0).numpy(), (y - 2.0).numpy(), rcond=1e-10)[0].T
    np.testing.assert_allclose(found.weight.numpy(), expected, rtol=1e-8)
    assert not found.bias.any()


def test_the_smallest_ridge_is_as_good_as_none() -> None:
    x, y = data(200)
    sums = shown(x, y, 64, 128)
    assert sums.residual(sums.solve()) == pytest.approx(sums.residual(sums.solve(ridge=0.0)), rel=1e-4)


def test_a_mean_far_from_zero_loses_no_digits() -> None:
    """The plain sums of squares would be 1e18 beside a spread of 1: nothing would be left of it in float64."""
    x, y = data(200)
    near, far = shown(x, y, 50), shown(x + 1e9, y, 50)
    np.testing.assert_allclose(far.solve(0.0).weight, near.solve(0.0).weight, rtol=1e-3)


def test_two_sums_are_the_sum_over_both() -> None:
    x, y = data(90)
    both, parts = shown(x, y), shown(x[:20], y[:20]) + shown(x[20:], y[20:])
    assert parts.count == both.count == 90
    for name in ("mean_x", "mean_y", "xx", "xy", "yy"):
        torch.testing.assert_close(getattr(parts, name), getattr(both, name))
    assert shown(x[:0], y[:0]).count == 0
    torch.testing.assert_close((both + LeastSquares(IN, OUT)).xx, both.xx)


def test_memory_does_not_grow_with_the_data() -> None:
    sizes = set()
    for batches in (1, 30):
        x, y = data(10 * batches)
        sizes.add(len(pickle.dumps(shown(x, y, *range(10, 10 * batches, 10)))))
    assert max(sizes) - min(sizes) < 50, "only the sums are held"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_are_in_float64_whatever_comes(dtype: torch.dtype) -> None:
    x, y = (value.to(dtype) for value in data(64))
    found = shown(x, y, 3).solve(ridge=0.0)
    np.testing.assert_allclose(found.weight, lstsq(x.double(), y.double())[0], rtol=1e-6)


@pytest.mark.parametrize("rows", [3, 40], ids=["fewer rows than features", "a feature twice"])
def test_where_the_data_says_nothing_the_prior_stays(rows: int) -> None:
    x, y = data(rows, features=8)
    x[:, 7] = x[:, 6]
    sums = shown(x, y, 2)
    weight, bias = lstsq(x, y)
    for prior in (None, torch.zeros(OUT, 8, dtype=torch.float64)):
        found = sums.solve(ridge=1e-10, prior=prior)
        assert torch.isfinite(found.weight).all()
        fitted = torch.nn.functional.linear(x, found.weight, found.bias).numpy()
        np.testing.assert_allclose(fitted, x.numpy() @ weight.T + bias, rtol=1e-3, atol=1e-3)
    # along the difference of the two equal features nothing varies: there the prior's weight stands
    prior = torch.zeros(OUT, 8, dtype=torch.float64)
    prior[:, 6], prior[:, 7] = 5.0, -5.0
    found = sums.solve(ridge=1e-10, prior=prior)
    apart = found.weight[:, 6] - found.weight[:, 7]
    torch.testing.assert_close(apart, torch.full_like(apart, 10.0), rtol=1e-4, atol=1e-4)


def test_inputs_that_never_vary_teach_the_mean_alone() -> None:
    y = data(12)[1]
    sums = shown(torch.ones(12, IN, dtype=torch.float64), y)
    found = sums.solve()
    assert not found.weight.any()
    torch.testing.assert_close(found.bias, y.mean(0))
    assert sums.residual(found) == pytest.approx(1.0)


def test_the_residual_is_the_share_of_the_spread_that_is_left() -> None:
    x, y = data(50)
    sums, found = shown(x, y, 7), shown(x[:30], y[:30]).solve(ridge=0.1)
    fitted = torch.nn.functional.linear(x, found.weight, found.bias)
    expected = (y - fitted).square().sum() / (y - y.mean(0)).square().sum()
    assert sums.residual(found) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("ridge", [1e-9, 1e-3, 1.0, 1e6])
def test_it_is_never_farther_from_its_rows_than_the_prior(ridge: float) -> None:
    for seed in range(5):
        x, y = data(12, seed=seed)
        prior = torch.randn(OUT, IN, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        sums = shown(x, y)
        found = sums.solve(ridge, prior)
        alone = sums.solve(1e30, prior)  # nothing but the prior, with the best bias for it
        torch.testing.assert_close(alone.weight, prior)
        assert sums.residual(found) <= sums.residual(alone) * (1 + 1e-9)
