"""`partial_fit` learns in chunks, goes on from `fit`, listens to changed arguments, and an error leaves no trace."""

# X is scikit-learn's name for a table.
# ruff: noqa: N806

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

from identikit.errors import TableError
from identikit.tabular import ResNetClassifier, ResNetRegressor
from identikit.tabular.training import Trainer
from tabular.tables import SMALL, mixed


def test_partial_fit_learns_in_chunks() -> None:
    X, y = load_wine(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(X))
    model = ResNetClassifier(**SMALL)
    for _ in range(20):
        for chunk in np.array_split(order, 3):
            assert model.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2]) is model
    assert model.score(X, y) > 0.9
    assert model.n_epochs_ == len(model.loss_curve_) == 60


def test_partial_fit_is_repeatable_and_survives_a_pickle() -> None:
    X, y = mixed()
    one, two = ResNetRegressor(**SMALL), ResNetRegressor(**SMALL)
    for _ in range(3):
        one.partial_fit(X, y)
        two = pickle.loads(pickle.dumps(two)).partial_fit(X, y)
    assert np.array_equal(one.predict(X), two.predict(X))


def test_partial_fit_goes_on_from_fit() -> None:
    X, y = mixed()
    model = ResNetRegressor(**SMALL).fit(X, y)
    fitted, scaler = copy.deepcopy(model), model.preprocessor_
    model.partial_fit(X, y)
    assert model.preprocessor_ is scaler
    assert model.n_epochs_ == fitted.n_epochs_ + 1
    assert not np.array_equal(model.predict(X), fitted.predict(X))
    assert np.corrcoef(model.predict(X), fitted.predict(X))[0, 1] > 0.9
    assert np.array_equal(model.fit(X, y).predict(X), fitted.predict(X))


def test_partial_fit_needs_to_know_the_classes() -> None:
    model = ResNetClassifier(**SMALL)
    with pytest.raises(TableError) as caught:
        model.partial_fit([[1], [2]], ["a", "b"])
    assert str(caught.value) == "classes must be given on the first call of partial_fit: all that will ever come."
    model.partial_fit([[1], [2]], ["a", "a"], classes=["a", "b"])
    with pytest.raises(TableError) as caught:
        model.partial_fit([[1], [2]], ["a", "b"], classes=["a", "c"])
    assert str(caught.value) == "classes=['a', 'c'] are not those of the first call, ['a', 'b']."
    with pytest.raises(TableError) as caught:
        model.partial_fit([[1], [2]], ["a", "c"])
    assert str(caught.value) == "y holds 'c' in row 1, which is none of the classes ('a', 'b')."


def test_partial_fit_takes_as_many_outputs_as_before() -> None:
    model = ResNetRegressor(**SMALL).partial_fit([[1], [2]], [1, 2])
    with pytest.raises(TableError) as caught:
        model.partial_fit([[1], [2]], [[1, 2], [3, 4]])
    assert str(caught.value) == "y has 2 columns, and the first call had 1. Give as many."


def test_an_error_leaves_no_trace_in_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = mixed()
    model, other = ResNetRegressor(**SMALL), ResNetRegressor(**SMALL)
    for each in (model, other):
        each.partial_fit(X, y)
    step = Trainer._step

    def broken(self: Any, batch: Any) -> Any:
        found = step(self, batch)
        if self.steps == 5:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(Trainer, "_step", broken)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y)
    monkeypatch.undo()
    for each in (model, other):
        each.partial_fit(X, y)
    assert np.array_equal(model.predict(X), other.predict(X))


@pytest.mark.parametrize("change", [{"learning_rate": 1e-9}, {"weight_decay": 0.9}, {"batch_size": 60}])
def test_arguments_count_from_the_next_call_on(change: dict[str, Any]) -> None:
    X, y = mixed()
    one, two = (ResNetRegressor(**{**SMALL, "learning_rate": 0.01}).partial_fit(X, y) for _ in range(2))
    one.partial_fit(X, y)
    two.set_params(**change).partial_fit(X, y)
    assert not np.array_equal(one.predict(X), two.predict(X))
    with pytest.raises(TableError, match="batch_size='x' is no whole number"):
        two.set_params(batch_size="x").partial_fit(X, y)
