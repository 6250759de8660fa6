"""What a user of scikit-learn does with the estimators: mixed tables, pipelines, searches, chunks, repeated fits."""

# X is scikit-learn's name for a table.
# ruff: noqa: N806

from __future__ import annotations

import doctest
import importlib
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import identikit.nn.tabular_resnet
import identikit.tabular
from identikit.errors import MissingExtraError, TableError
from identikit.tabular import ResNetClassifier, ResNetRegressor
from tabular.tables import SMALL, mixed


def test_a_mixed_table_is_learned() -> None:
    X, y = mixed(300)
    model = ResNetRegressor(blocks=1, width=32, max_epochs=60, random_state=0, categorical_features=["code"])
    assert model.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.8
    assert model.preprocessor_.sizes == (3, 2, 2, 3)
    assert model.feature_names_in_.tolist() == list(X.columns)


def test_what_was_never_seen_is_predicted_all_the_same() -> None:
    X, y = mixed()
    model = ResNetRegressor(**SMALL).fit(X, y)
    new = X[:2].astype(object).assign(colour=["violet", None], text=["new", None], size=[np.nan, 1e9])
    assert np.isfinite(model.predict(new)).all()


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
@pytest.mark.parametrize("value", [3.0, np.nan])
def test_a_column_that_said_nothing_in_fit_says_nothing_later(scaling: str, value: float) -> None:
    X, y = mixed()
    X["dull"] = value
    model = ResNetRegressor(**SMALL, scaling=scaling).fit(X, y)
    before = model.predict(X)
    for later in (0.0, 3.0001, 1e6):
        assert np.array_equal(model.predict(X.assign(dull=later)), before)


def test_a_prediction_of_numbers_written_as_text_is_that_of_its_row_alone() -> None:
    X = np.array([["1", "a"], ["b", "a"], ["1", "c"]] * 10)
    model = ResNetRegressor(**SMALL).fit(X, np.arange(30))
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-12)


def test_a_table_of_pyarrow_has_names() -> None:
    pa = pytest.importorskip("pyarrow")
    X = pa.table({"size": np.arange(30.0), "kind": ["a", "b", None] * 10})
    model = ResNetRegressor(**SMALL, categorical_features=["kind"]).fit(X, np.arange(30))
    assert model.feature_names_in_.tolist() == ["size", "kind"]
    assert np.array_equal(model.predict(X.to_pandas()), model.predict(X))
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        model.predict(X.select(["kind", "size"]))


def test_masks_hide_cells_and_targets() -> None:
    X = np.random.RandomState(0).normal(size=(30, 2))
    hidden = X > 1
    masked, holed = np.ma.array(X, mask=hidden), np.where(hidden, np.nan, X)
    model = ResNetRegressor(**SMALL).fit(masked, X[:, 0])
    assert np.array_equal(model.predict(masked), ResNetRegressor(**SMALL).fit(holed, X[:, 0]).predict(holed))
    with pytest.raises(TableError, match="y, column 0 holds a missing value"):
        model.fit(X, masked)


def test_a_prediction_is_that_of_its_row_alone() -> None:
    X, y = mixed()
    model = ResNetRegressor(**SMALL).fit(X, y)
    alone = np.concatenate([model.predict(X[row : row + 1]) for row in range(len(X))])
    np.testing.assert_allclose(alone, model.predict(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [ResNetClassifier, ResNetRegressor])
def test_the_same_seed_gives_the_same_bits_and_touches_nobody_s(kind: Any) -> None:
    X, y = load_wine(return_X_y=True)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = kind(**SMALL).fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = kind(**SMALL).fit(X, y)
    other = kind(**{**SMALL, "random_state": 1}).fit(X, y)
    assert all(
        torch.equal(one, two)
        for one, two in zip(first.network_.state_dict().values(), second.network_.state_dict().values(), strict=True)
    )
    assert first.loss_curve_ == second.loss_curve_ != other.loss_curve_


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard", None])
def test_every_scaling(scaling: str | None) -> None:
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    assert ResNetClassifier(**SMALL, scaling=scaling).fit(X, y).score(X, y) > 0.9


def test_pipeline_search_clone_and_cross_validation() -> None:
    X, y = load_wine(return_X_y=True)
    model = ResNetClassifier(**SMALL)
    search = GridSearchCV(make_pipeline(StandardScaler(), model), {"resnetclassifier__width": [8, 16]}, cv=2)
    assert search.set_params(n_jobs=1).fit(X, y).best_score_ > 0.8
    assert cross_val_score(model, X, y, cv=2).min() > 0.7
    assert clone(model).get_params() == model.get_params()
    piped = make_pipeline(StandardScaler().set_output(transform="pandas"), model).fit(X, y)
    assert len(piped[-1].feature_names_in_) == X.shape[1]


def test_a_target_in_other_units() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = ResNetRegressor(**SMALL).fit(X, y)
    scaled = ResNetRegressor(**SMALL).fit(X, 1e6 * y + 1e9)
    np.testing.assert_allclose(scaled.predict(X), 1e6 * model.predict(X) + 1e9, rtol=1e-4)
    assert TransformedTargetRegressor(ResNetRegressor(**SMALL), func=np.log, inverse_func=np.exp).fit(X, y)


def test_a_constant_target() -> None:
    X, _ = mixed()
    assert ResNetRegressor(**SMALL).fit(X, np.full(len(X), 3.0)).predict(X[:5]) == pytest.approx([3] * 5, abs=0.5)


def test_several_outputs() -> None:
    X, y = mixed(300)
    both = np.stack([y, -5 * y], axis=1)
    model = ResNetRegressor(blocks=1, width=32, max_epochs=60, random_state=0).fit(X[:200], both[:200])
    assert model.predict(X).shape == (300, 2)
    assert model.score(X[200:], both[200:]) > 0.7
    assert ResNetRegressor(**SMALL).fit(X, both[:, :1]).predict(X).shape == (300, 1)


def test_probabilities_are_of_the_classes_in_order() -> None:
    X, y = load_wine(return_X_y=True)
    names = np.array(["c", "a", "b"])[y]
    model = ResNetClassifier(**SMALL).fit(X, names)
    shares = model.predict_proba(X)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert (model.classes_[shares.argmax(axis=1)] == model.predict(X)).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), shares)


def test_rows_to_stop_by_may_be_given() -> None:
    X, y = mixed()
    model = ResNetRegressor(**SMALL).fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    assert len(model.validation_curve_) == model.n_epochs_
    scale = (y[100:] - model.target_mean_) / model.target_scale_
    loss = np.mean((scale - (model.predict(X[100:]) - model.target_mean_) / model.target_scale_) ** 2)
    assert loss == pytest.approx(min(model.validation_curve_), rel=1e-4)
    with pytest.raises(TableError) as caught:
        model.fit(X, y, X_val=X)
    assert str(caught.value) == "X_val and y_val belong together, and one is missing. Give both, or neither."
    with pytest.raises(TableError) as caught:
        clone(model).set_params(early_stopping=False).fit(X, y, X_val=X, y_val=y)
    assert str(caught.value) == "X_val is there to stop early by, and early_stopping=False. Leave out one of them."


@pytest.mark.parametrize(
    ("val", "text"),
    [
        (
            {"size": np.inf},
            'X_val, column "size" holds an infinite value (inf) in row 0, 120 in all. '
            "Put NaN there, which is a missing value, or drop those rows.",
        ),
        (
            {"size": "a"},
            "X_val, column \"size\" held numbers when the estimator was fitted and holds 'a' now. "
            "Give numbers, or fit again.",
        ),
    ],
)
def test_the_rows_to_stop_by_are_called_by_their_name(val: dict[str, Any], text: str) -> None:
    X, y = mixed()
    with pytest.raises(TableError) as caught:
        ResNetRegressor(**SMALL).fit(X, y, X_val=X.assign(**val), y_val=y)
    assert str(caught.value) == text
    with pytest.raises(TableError) as caught:
        ResNetRegressor(**SMALL).fit(X, y, X_val=X[["size"]], y_val=y)
    assert str(caught.value) == "X_val has 1 columns, and X has 6. Give the same."
    with pytest.raises(TableError) as caught:
        ResNetRegressor(**SMALL).fit(X, y, X_val=X, y_val=y[:7])
    assert str(caught.value) == "X_val has 120 rows and y_val 7. Give one target for each row."
    with pytest.raises(TableError) as caught:
        ResNetRegressor(**SMALL).fit(X, y, X_val=X, y_val=["a"] * len(X))
    assert str(caught.value) == "y_val holds 'a' in row 0, and a regression needs numbers."


def test_a_target_far_from_all_that_was_seen_is_named() -> None:
    X, y = np.arange(20.0)[:, None], np.arange(20.0)
    far = np.where(y == 3, 1e37, y)
    with pytest.raises(TableError) as caught:
        ResNetRegressor(**SMALL).fit(X, y, X_val=X, y_val=far)
    assert str(caught.value) == (
        "y_val holds 1e+37 in row 3, and the estimator was fitted on targets around 9.5 ± 5.76628. "
        "Correct it, or fit again."
    )
    with pytest.raises(TableError, match=r"^y holds 1e\+37 in row 3, and the estimator was fitted"):
        ResNetRegressor(**SMALL).partial_fit(X, y).partial_fit(X, far)


def test_tiny_tables() -> None:
    X, y = mixed(3)
    for rows in (2, 3):
        assert ResNetRegressor(**SMALL).fit(X[:rows], y[:rows]).predict(X).shape == (3,)
    assert ResNetClassifier(**SMALL, batch_size=2).fit(X, ["a", "b", "a"]).validation_curve_ == []
    with pytest.raises(TableError) as caught:
        ResNetRegressor().fit(X[:1], y[:1])
    assert str(caught.value) == (
        "n_samples=1 is too few: batch norm learns from two rows at least. Give more rows, or hold out fewer "
        "(validation_fraction)."
    )


def test_one_class() -> None:
    with pytest.raises(TableError) as caught:
        ResNetClassifier().fit([[1], [2]], ["a", "a"])
    assert str(caught.value) == "y holds 1 class ('a'), and there must be two at least to tell apart."


def test_an_error_leaves_the_estimator_as_it_was() -> None:
    X, y = mixed()
    model = ResNetRegressor(**SMALL).fit(X, y)
    before, state = model.predict(X), dict(model.__dict__)
    with pytest.raises(TableError, match='column "size" holds an infinite value'):
        model.fit(X.assign(size=np.inf).drop(columns="gap"), y)
    with pytest.raises(TableError, match="y holds a missing value"):
        model.partial_fit(X, np.full(len(X), np.nan))
    assert model.__dict__ == state
    assert np.array_equal(model.predict(X), before)
    with pytest.raises(NotFittedError):
        ResNetRegressor().predict(X)


def test_extreme_targets_overflow_nothing() -> None:
    X, y = mixed()
    model = ResNetRegressor(**SMALL).fit(X, y / np.abs(y).max() * 1e308)
    assert np.isfinite(model.predict(X)).all()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        importlib.reload(identikit.tabular)
    assert str(caught.value) == ('identikit.tabular needs scikit-learn. Install it: pip install "identikit[tabular]"')


def test_the_examples_of_the_docstrings_run() -> None:
    for module in (identikit.tabular.classifier, identikit.tabular.regressor, identikit.nn.tabular_resnet):
        found = doctest.testmod(module)
        assert found.attempted > 1
        assert found.failed == 0


def test_drawn_in_a_notebook() -> None:
    assert "ResNetClassifier" in ResNetClassifier()._repr_html_()
    assert repr(ResNetClassifier(width=8)) == "ResNetClassifier(width=8)"


def test_progress_is_drawn_by_its_only_drawer(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = mixed()
    ResNetRegressor(**SMALL).fit(X, y)
    assert capsys.readouterr() == ("", "")
    ResNetRegressor(**SMALL, progress=True).fit(X, y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "fit" in err
