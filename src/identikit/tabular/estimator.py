"""What both estimators share: their arguments, how they are fitted, what they predict with, what they hand on."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from identikit.errors import TableError
from identikit.metrics import Metric
from identikit.nn.tabular_resnet import TabularResNet
from identikit.tabular.chosen import chosen_columns
from identikit.tabular.columns import Table, read_columns
from identikit.tabular.fitting import fit_network, new_network, new_trainer, one_epoch, outputs, recipe_of
from identikit.tabular.grid import read_grid
from identikit.tabular.held_out import Index, split
from identikit.tabular.options import Options
from identikit.tabular.preprocess import Preprocessor, fit_preprocessor
from identikit.tabular.surroundings import device_named, own_randomness, usual_torch
from identikit.tabular.targets import check_given
from identikit.tabular.training import Loss, Rows, Trainer


class TabularEstimator(Options, ABC):
    """A `TabularResNet` behind scikit-learn's interface. Subclasses say what a target is and which loss it has."""

    network_: TabularResNet
    preprocessor_: Preprocessor
    loss_curve_: list[float]
    validation_curve_: list[float]
    n_epochs_: int
    best_epoch_: int
    _trainer: Trainer[TabularResNet]
    _seed: int

    @abstractmethod
    def _learn_target(self, y: Any, classes: Any = None) -> None:
        """Learn what targets there are; sets the attributes that predictions need."""

    @abstractmethod
    def _target(self, y: Any, what: str = "y") -> torch.Tensor:
        """The targets as the loss takes them: whole numbers for classes, `[rows, outputs]` for values."""

    @abstractmethod
    def _out_features(self) -> int:
        """How many numbers the network gives for a row."""

    @abstractmethod
    def _loss(self) -> Loss:
        """What training makes small."""

    @abstractmethod
    def _metric(self) -> Metric:
        """What a block is judged by: the number that `score` gives."""

    @abstractmethod
    def _target_state(self) -> dict[str, Any]:
        """What `_learn_target` learned, for JSON."""

    @abstractmethod
    def _restore_target(self, state: dict[str, Any]) -> None:
        """The inverse of `_target_state`."""

    @usual_torch()
    def fit(self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn from a table; what an earlier fit learned is forgotten. On an error the estimator is as it was.

        Args:
            X: `[rows, columns]`: a data frame, an array, a list of rows. NaN and None are missing values.
            y: one target for each row.
            X_val, y_val: rows to stop early by, in place of a part of `X` that is held out. They are not trained on.

        There is no `sample_weight`: a row of weight 2 would have to count as two rows, which cannot hold where batch
        norm looks at whole batches, dropout is drawn for each row and a part of the rows is held out. Repeat rows.

        Raises:
            TableError: one line that names the argument, or the column and the row.
        """
        if (X_val is None) != (y_val is None):
            raise TableError("X_val and y_val belong together, and one is missing. Give both, or neither.")
        if X_val is not None and not self.early_stopping:
            raise TableError("X_val is there to stop early by, and early_stopping=False. Leave out one of them.")
        with self._unchanged_on_error():
            self._forget()
            table, random = self._read(X, y, fitting=True), check_random_state(self.random_state)
            self._learn_target(y)
            target = self._target(y)
            if X_val is None:
                kept, held = self._split(target, random)
                self.preprocessor_ = fit_preprocessor(table.at(kept), self.scaling, random)
                watched = self._rows(table.at(held), target[held]) if len(held) else None
                self._train(self._rows(table.at(kept), target[kept]), watched, random)
            else:
                self.preprocessor_ = fit_preprocessor(table, self.scaling, random)
                watched = self._rows(self._read(X_val, y_val, suffix="_val"), self._target(y_val, "y_val"))
                self._train(self._rows(table, target), watched, random)
        return self

    def _split(self, target: torch.Tensor, random: np.random.RandomState) -> tuple[Index, Index]:
        """The rows to train on, and those to stop early by."""
        if not self.early_stopping:
            return np.arange(len(target)), np.arange(0)
        classes = None if target.is_floating_point() else target.numpy()
        return split(len(target), self.validation_fraction, random, classes)

    def _train(self, rows: Rows, watched: Rows | None, random: np.random.RandomState) -> None:
        self.network_, history = fit_network(
            self.get_params(deep=False), self.preprocessor_, rows, watched,
            out_features=self._out_features(), loss=self._loss(), seed=int(random.randint(2**31 - 1)),
        )  # fmt: skip
        self.loss_curve_, self.validation_curve_ = history.training, history.held_out
        self.n_epochs_, self.best_epoch_ = len(history.training), history.best

    @usual_torch()
    def _partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go once through these rows. The first call learns columns and targets from them; later ones keep those."""
        with self._unchanged_on_error():
            first = not hasattr(self, "network_")
            table = self._read(X, y, fitting=first)
            if first or classes is not None:
                self._learn_target(y, classes)
            target = self._target(y)
            trainer = self._started(table) if not hasattr(self, "_trainer") else self._going_on()
            rows = self._rows(table, target)
            loss = one_epoch(self.get_params(deep=False), trainer, rows, self._seed + trainer.steps)
            self._trainer, self.network_ = trainer, copy.deepcopy(trainer.averaged).cpu()
            self.loss_curve_ = [*self.loss_curve_, loss]
            self.n_epochs_ = self.best_epoch_ = self.n_epochs_ + 1
        return self

    def _started(self, table: Table) -> Trainer[TabularResNet]:
        """Training from the network that there is, or from a new one for `table`."""
        random = check_random_state(self.random_state)
        options, first = self.get_params(deep=False), not hasattr(self, "network_")
        if first:
            self.preprocessor_ = fit_preprocessor(table, self.scaling, random)
            self.loss_curve_, self.validation_curve_, self.n_epochs_ = [], [], 0
        self._seed = int(random.randint(2**30))
        with own_randomness(self._seed, device_named(self.device)):
            start = new_network(options, self.preprocessor_, self._out_features()) if first else self.network_
        return new_trainer(options, start, self._loss())

    def _going_on(self) -> Trainer[TabularResNet]:
        """A copy of the training so far, under the arguments as they are now: an error leaves no trace in the old."""
        return self._trainer.goes_on(recipe_of(self.get_params(deep=False)), device_named(self.device))

    def _read(self, X: Any, y: Any, *, fitting: bool = False, suffix: str = "") -> Table:
        """A table that comes with its targets, and the arguments looked at; `suffix` is "_val" for those."""
        self._check_options()
        table = self._table(X, f"X{suffix}", fitting=fitting)
        check_given(y, table.rows, type(self).__name__, suffix)
        return table

    def _table(self, X: Any, what: str = "X", *, fitting: bool = False) -> Table:
        """The columns of `X`. Raises where they are not those that the estimator was fitted on."""
        grid = read_grid(X, what)
        named = np.empty((grid.rows, len(grid.columns)), dtype=bool) if grid.names is None else X
        if what != "X" and len(grid.columns) != self.n_features_in_:
            raise TableError(f"{what} has {len(grid.columns)} columns, and X has {self.n_features_in_}. Give the same.")
        validate_data(self, named, reset=fitting, skip_check_array=True)
        chosen = chosen_columns(self.categorical_features, grid) if fitting else self.preprocessor_.categorical
        return read_columns(grid, categorical=chosen, what=what)

    def _rows(self, table: Table, target: torch.Tensor) -> Rows:
        """Rows as the network takes them."""
        return Rows(*self.preprocessor_(table), target)

    @usual_torch()
    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """What the network gives for each row of `X`."""
        check_is_fitted(self)
        return outputs(self.get_params(deep=False), self.network_, *self.preprocessor_(self._table(X)))

    def _forget(self) -> None:
        """Drop what an earlier fit left behind that the next one does not replace."""
        for name in ("_trainer", "front_"):
            self.__dict__.pop(name, None)

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags
