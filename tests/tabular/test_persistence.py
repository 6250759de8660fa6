"""A saved estimator comes back with the same bits; what is no saved estimator, or a damaged one, is one clear error."""

# X is scikit-learn's name for a table.
# ruff: noqa: N806

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.exceptions import NotFittedError

from identikit.errors import SaveError, TableError
from identikit.tabular import ResNetClassifier, ResNetRegressor, persistence

SMALL: dict[str, Any] = {"blocks": 2, "width": 8, "max_epochs": 3, "random_state": 0}


def table(rows: int = 40) -> pd.DataFrame:
    random = np.random.RandomState(0)
    return pd.DataFrame(
        {
            "number": random.normal(size=rows),
            "gap": np.where(random.rand(rows) < 0.3, np.nan, 1.5),
            "text": np.where(random.rand(rows) < 0.3, None, "ä"),
            "flag": random.rand(rows) < 0.5,
            "code": pd.Categorical(random.randint(3, size=rows)),
        }
    )


def fitted(kind: Any = ResNetRegressor, **options: Any) -> Any:
    y = np.arange(40) % 3
    return kind(**{**SMALL, **options}).fit(table(), y)


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard", None])
@pytest.mark.parametrize("kind", [ResNetClassifier, ResNetRegressor])
def test_the_same_bits_come_back(kind: Any, scaling: str | None, tmp_path: Path) -> None:
    model = fitted(kind, scaling=scaling, categorical_features=["number"] if scaling is None else None)
    twin = kind.load(model.save(tmp_path / "model"))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "weights.safetensors"]
    assert np.array_equal(twin.predict(table()), model.predict(table()))
    assert twin.get_params() == model.get_params()
    assert set(twin.__dict__) == set(model.__dict__)
    assert twin.loss_curve_ == model.loss_curve_
    assert twin.feature_names_in_.tolist() == model.feature_names_in_.tolist()
    assert twin.partial_fit(table(), np.arange(40) % 3).n_epochs_ == model.n_epochs_ + 1


@pytest.mark.parametrize("labels", [["a", "b"], [True, False], [3, 7], [0.5, 1.0], np.array(["x", "y"], dtype=object)])
def test_labels_of_every_kind(labels: Any, tmp_path: Path) -> None:
    y = np.asarray(labels)[np.arange(40) % 2]
    if y.dtype.kind == "f":
        y = y * 2  # whole numbers in a float column
    model = ResNetClassifier(**SMALL).fit(table(), y)
    twin = ResNetClassifier.load(model.save(tmp_path / "model"))
    assert twin.classes_.dtype == model.classes_.dtype
    assert twin.predict(table()).tolist() == model.predict(table()).tolist()


def test_arrays_and_several_outputs(tmp_path: Path) -> None:
    X = np.random.RandomState(0).normal(size=(30, 2))
    model = ResNetRegressor(**{**SMALL, "width": np.int64(8)}, categorical_features=np.array([False, False]))
    model.fit(X, X)
    twin = ResNetRegressor.load(str(model.save(str(tmp_path / "model"))))
    assert np.array_equal(twin.predict(X), model.predict(X))
    assert not hasattr(twin, "feature_names_in_")


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard", None])
def test_a_table_of_categories_only(scaling: str | None, tmp_path: Path) -> None:
    X = table()[["text", "flag"]]
    model = ResNetRegressor(**SMALL, scaling=scaling).fit(X, np.arange(40))
    assert np.array_equal(ResNetRegressor.load(model.save(tmp_path / "model")).predict(X), model.predict(X))


def test_columns_that_held_nothing_and_large_categories_come_back(tmp_path: Path) -> None:
    X = table().assign(empty=None, code=2**62 + np.arange(40) % 2)
    model = ResNetRegressor(**SMALL, categorical_features=["code"]).fit(X, np.arange(40))
    twin = ResNetRegressor.load(model.save(tmp_path / "model"))
    later = X.assign(empty="now")
    assert twin.preprocessor_.categories == model.preprocessor_.categories
    assert np.array_equal(twin.predict(later), model.predict(X))


def test_an_estimator_of_a_device_that_is_not_there_is_loaded(tmp_path: Path) -> None:
    model = fitted().set_params(device="cuda:99")
    twin = ResNetRegressor.load(model.save(tmp_path / "model"))
    assert np.array_equal(twin.set_params(device="cpu").predict(table()), fitted().predict(table()))


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    model = fitted()
    model.save(tmp_path / "model")
    with pytest.raises(SaveError) as caught:
        model.save(tmp_path / "model")
    assert str(caught.value) == (
        f"{tmp_path / 'model'} exists already. Name another folder, or replace it: save(path, overwrite=True)."
    )
    other = fitted(random_state=1)
    other.save(tmp_path / "model", overwrite=True)
    assert np.array_equal(ResNetRegressor.load(tmp_path / "model").predict(table()), other.predict(table()))


def test_what_cannot_be_said_in_json_leaves_nothing(tmp_path: Path) -> None:
    cases = {
        "random_state holds a RandomState, which a file of text cannot. set_params(random_state=0).": fitted(
            random_state=np.random.RandomState(0)
        ),
        'column "when" holds a Interval, which a file of text cannot. Give text or numbers, and fit again.': (
            ResNetRegressor(**SMALL).fit(table().assign(when=pd.cut(np.arange(40), 3)), np.arange(40))
        ),
        'column "pair" holds a tuple, which a file of text cannot. Give text or numbers, and fit again.': (
            ResNetRegressor(**SMALL).fit(table().assign(pair=[(1, 2)] * 40), np.arange(40))
        ),
        "ResNetRegressor could not be loaded again (TabularResNet: dropout=2 is no share from 0 up to 1, such as 0.15)"
        "; nothing was saved.": fitted().set_params(dropout=2),
        'ResNetRegressor could not be loaded again (column "gap" holds numbers too large for float32 with '
        "scaling='standard'. Use scaling=\"quantile\"); nothing was saved.": ResNetRegressor(
            **SMALL, scaling="standard"
        ).fit(table()[["gap"]].fillna(0) * 1e-40, np.arange(40)),
    }
    for text, model in cases.items():
        with pytest.raises(SaveError) as caught:
            model.save(tmp_path / "model")
        assert str(caught.value) == text
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFittedError):
        ResNetRegressor().save(tmp_path / "model")


def test_what_would_not_come_back_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = persistence._tensors
    monkeypatch.setattr(
        persistence,
        "_tensors",
        lambda estimator: {name: value + 1 if "head" in name else value for name, value in real(estimator).items()},
    )
    with pytest.raises(SaveError) as caught:
        fitted().save(tmp_path / "model")
    assert str(caught.value) == "ResNetRegressor computes something else when loaded again; nothing was saved."
    assert list(tmp_path.iterdir()) == []


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        change(facts)
        (folder / "config.json").write_text(json.dumps(facts), encoding="utf-8")

    return apply


def weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "weights.safetensors")
        change(tensors)
        save_file(tensors, folder / "weights.safetensors")

    return apply


@pytest.mark.parametrize(
    ("attack", "text"),
    [
        (lambda folder: (folder / "weights.safetensors").unlink(), "holds no saved estimator: config.json and "),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"12345678910"), "is damaged ("),
        (lambda folder: (folder / "config.json").write_text("{"), "is damaged: "),
        (changed(lambda facts: facts.pop("format")), "holds something else than an estimator of identikit.tabular."),
        (
            changed(lambda facts: facts.update(version=2)),
            "has version 2 of the format, and this identikit reads 1. Update identikit, or save the estimator again "
            "with this one.",
        ),
        (
            changed(lambda facts: facts.update(estimator="ResNetClassifier")),
            "holds a ResNetClassifier. Load it with ResNetClassifier.load(path).",
        ),
        (changed(lambda facts: facts.pop("target")), "is damaged ('target'). Save the estimator again."),
        (changed(lambda facts: facts["columns"].update(numbers=[0])), "is damaged ("),
        (changed(lambda facts: facts["columns"].update(numbers=[0, 99])), "is damaged ("),
        (changed(lambda facts: facts["columns"].update(scaling="no")), "is damaged ("),
        (changed(lambda facts: facts["columns"]["categories"].pop()), "is damaged ("),
        (changed(lambda facts: facts["target"].update(mean=[1, 2])), "is damaged ("),
        (changed(lambda facts: facts["target"].update(scale=[1, 2])), 'is damaged ("target" is not what was written)'),
        (changed(lambda facts: facts["target"].update(single="no")), 'is damaged ("target" is not what was written)'),
        (changed(lambda facts: facts["columns"]["names"].pop()), 'is damaged ("names" is not what was written)'),
        (
            changed(lambda facts: facts["training"].update(loss_curve_=None)),
            'is damaged ("loss_curve_" is not what was written)',
        ),
        (
            changed(lambda facts: facts["training"].update(n_epochs_="3")),
            'is damaged ("n_epochs_" is not what was written)',
        ),
        (changed(lambda facts: facts["arguments"].update(dropout="x")), "is damaged ("),
        (changed(lambda facts: facts["arguments"].update(new=1)), "is damaged ("),
        (changed(lambda facts: facts.update(training={})), "is damaged ("),
        (weights(lambda tensors: tensors.pop("network.head.norm.weight")), "is damaged ("),
        (weights(lambda tensors: tensors.update({"network.more": torch.zeros(1)})), "is damaged ("),
        (weights(lambda tensors: tensors.pop("scaler.quantiles")), "is damaged ('quantiles')."),
        (weights(lambda tensors: tensors.update(fill=torch.zeros(3, dtype=torch.float64))), "is damaged ("),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_error(attack: Callable[[Path], object], text: str, tmp_path: Path) -> None:
    folder = fitted().save(tmp_path / "model")
    attack(folder)
    with pytest.raises(TableError) as caught:
        ResNetRegressor.load(folder)
    assert text in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none holds no saved estimator"):
        ResNetRegressor.load(tmp_path / "none")
