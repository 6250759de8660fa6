"""After the fit: blocks are judged by scikit-learn's own score, the idle ones go, the rest predicts the same."""

# X is scikit-learn's name for a table.
# ruff: noqa: N806

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import NotFittedError

import identikit as ik
from identikit.errors import BudgetError, MetricError, TableError
from identikit.tabular import ResNetClassifier, ResNetRegressor

SMALL: dict[str, Any] = {"blocks": 3, "width": 16, "max_epochs": 25, "random_state": 0}


def fitted(kind: Any = ResNetClassifier) -> tuple[Any, Any, Any]:
    X, y = (load_wine if kind is ResNetClassifier else load_diabetes)(return_X_y=True)
    return kind(**SMALL).fit(X, y), X, y


def idle(model: Any, block: int) -> Any:
    """`model` with a block that adds nothing."""
    with torch.no_grad():
        for parameter in model.network_.blocks[block].branch.linear2.parameters():
            parameter.zero_()
    return model


@pytest.mark.parametrize("kind", [ResNetClassifier, ResNetRegressor])
def test_the_report_gives_each_block_its_worth(kind: Any) -> None:
    model, X, y = fitted(kind)
    idle(model, 1)
    report = model.layer_report(X, y, progress=False)
    (metric,) = report.header.metrics
    assert metric == {"ResNetClassifier": "accuracy:classes", "ResNetRegressor": "r2"}[kind.__name__]
    assert report.header.metrics[metric].full == pytest.approx(model.score(X, y), abs=1e-6)
    assert [row.places for row in report.rows] == [("blocks.0",), ("blocks.1",), ("blocks.2",)]
    assert report.rows[1].effect == 0
    without = copy.deepcopy(model)
    with ik.bypass(without.network_, "blocks.2", inputs=model.preprocessor_(model._table(X))[0]):
        assert report.rows[2].edited == pytest.approx(without.score(X, y), abs=1e-6)


@pytest.mark.parametrize("kind", [ResNetClassifier, ResNetRegressor])
def test_an_idle_block_goes_and_nothing_changes(kind: Any, tmp_path: Path) -> None:
    model, X, y = fitted(kind)
    before = idle(model, 1).predict(X)
    assert model.prune(X, y, keep=1.0, progress=False) is model
    assert len(model.network_.blocks) <= 2
    assert model.front_.points[model.front_.chosen].places[0].startswith("blocks.")
    if len(model.network_.blocks) == 2:
        np.testing.assert_allclose(model.predict(X), before)
    after = model.predict(X)
    for twin in (pickle.loads(pickle.dumps(model)), kind.load(model.save(tmp_path / "pruned")), copy.deepcopy(model)):
        assert np.array_equal(twin.predict(X), after)
    assert len(clone(model).fit(X, y).network_.blocks) == 3


def test_a_pruned_estimator_learns_on_and_a_fit_forgets() -> None:
    model, X, y = fitted()
    idle(model.partial_fit(X, y), 0).prune(X, y, keep=0.9, progress=False)
    left = len(model.network_.blocks)
    assert len(model.partial_fit(X, y).network_.blocks) == left
    assert len(model.fit(X, y).network_.blocks) == 3
    assert not hasattr(model, "front_")


def test_where_every_block_is_needed_nothing_changes() -> None:
    model, X, y = fitted(ResNetRegressor)
    with torch.no_grad():
        for block in model.network_.blocks:  # each alone turns the prediction around
            block.branch.linear2.weight.mul_(20)
    before = model.network_
    score = model.layer_report(X, y, progress=False)
    true = model.predict(X)
    assert all(row.edited < 1 for row in score.rows)
    with pytest.raises(BudgetError) as caught:
        model.prune(X, true, keep=1.0, progress=False)
    report = model.layer_report(X, true, progress=False)
    best = max(report.rows, key=lambda row: row.edited)
    assert best.low is not None
    share = math.floor((best.full + best.low) * 1000) / 1000
    assert str(caught.value) == (
        f"keep=1 cannot be reached: without the block that is missed least ({best.places[0]}), {share:g} of r2 is "
        f"left, at the worse end of its interval. {f'Try keep={share:g}.' if share > 0 else 'Every block is needed.'}"
    )
    assert model.network_ is before


def test_prune_says_what_is_wrong_as_it_was_called() -> None:
    model, X, y = fitted(ResNetRegressor)
    for keep in ("0.9", 1.5, 0, True, float("nan")):
        with pytest.raises(TableError) as caught:
            model.prune(X, y, keep=keep)
        assert str(caught.value) == f"keep={keep!r} is no share above 0 and up to 1: 0.98 keeps 98 % of the score."
    with pytest.raises(
        MetricError, match=r"^keep is a share of the score, and r2 is -\d.* with all blocks, not above 0"
    ):
        model.prune(X, -10 * y, keep=0.9, progress=False)
    model.network_.blocks = model.network_.blocks[:1]
    with pytest.raises(BudgetError) as one:
        model.prune(X, y, progress=False)
    assert str(one.value) == "the network has one block left, and one has to stay."


def test_rows_to_judge_by_are_read_in_any_surroundings() -> None:
    model, X, y = fitted()
    before = model.layer_report(X, y, progress=False)
    with torch.inference_mode(), torch.device("meta"):
        after = model.layer_report(X, y, progress=False)
    assert [row.edited for row in after.rows] == [row.edited for row in before.rows]


def test_not_fitted() -> None:
    for verb in ("layer_report", "prune"):
        with pytest.raises(NotFittedError):
            getattr(ResNetClassifier(), verb)([[1], [2]], [0, 1])
