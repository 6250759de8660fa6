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
from identikit.tabular.columns import Table, chosen_columns, read_table
from identikit.tabular.fitting import fit_network, new_network, new_trainer, one_epoch, outputs
from identikit.tabular.held_out import split
from identikit.tabular.options import Options
from identikit.tabular.preprocess import Preprocessor, fit_preprocessor
from identikit.tabular.surroundings import device_named, own_randomness
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
    _meant: tuple[int, ...]
    _seed: int

    @abstractmethod
    def _learn_target(self, y: Any, classes: Any = None) -> None:
        """Learn what targets there are; sets the attributes that predictions need."""

    @abstractmethod
    def _target(self, y: Any) -> torch.Tensor:
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
        with self._unchanged_on_error():
            self._forget()
            table, random = self._read(X, y, fitting=True), check_random_state(self.random_state)
            self._learn_target(y)
            target = self._target(y)
            held_out = None
            if (X_val is None) != (y_val is None):
                raise TableError("X_val and y_val belong together, and one is missing. Give both, or neither.")
            if X_val is not None and not self.early_stopping:
                raise TableError("X_val is there to stop early by, and early_stopping=False. Leave out one of them.")
            if X_val is not None:
                held_out = (self._read(X_val, y_val, fitting=False), self._target(y_val))
            elif self.early_stopping:
                classes = None if target.is_floating_point() else target.numpy()
                kept, held = split(table.rows, self.validation_fraction, random, classes)
                if len(held):
                    held_out = (table.at(held), target[held])
                    table, target = table.at(kept), target[kept]
            self._train(table, target, held_out, random)
        return self

    def _train(
        self, table: Table, target: torch.Tensor, held_out: tuple[Table, torch.Tensor] | None,
        random: np.random.RandomState,
    ) -> None:  # fmt: skip
        self.preprocessor_ = fit_preprocessor(table, self.scaling, random)
        rows = Rows(*self.preprocessor_(table), target)
        watched = None if held_out is None else Rows(*self.preprocessor_(held_out[0]), held_out[1])
        self.network_, history = fit_network(
            self.get_params(deep=False), self.preprocessor_, rows, watched,
            out_features=self._out_features(), loss=self._loss(), seed=int(random.randint(2**31 - 1)),
        )  # fmt: skip
        self.loss_curve_, self.validation_curve_ = history.training, history.held_out
        self.n_epochs_, self.best_epoch_ = len(history.training), history.best

    def _partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go once through these rows. The first call learns columns and targets from them; later ones keep those."""
        with self._unchanged_on_error():
            options, first = self.get_params(deep=False), not hasattr(self, "network_")
            table = self._read(X, y, fitting=first)
            if first or classes is not None:
                self._learn_target(y, classes)
            target = self._target(y)
            if not hasattr(self, "_trainer"):
                random = check_random_state(self.random_state)
                if first:
                    self.preprocessor_ = fit_preprocessor(table, self.scaling, random)
                    self.loss_curve_, self.validation_curve_, self.n_epochs_ = [], [], 0
                self._seed = int(random.randint(2**30))
                with own_randomness(self._seed, device_named(self.device)):
                    start = new_network(options, self.preprocessor_, self._out_features()) if first else self.network_
                self._trainer = new_trainer(options, start, self._loss())
            rows = Rows(*self.preprocessor_(table), target)
            loss = one_epoch(options, self._trainer, rows, self._seed + self._trainer.steps)
            self.network_ = copy.deepcopy(self._trainer.averaged).cpu()
            self.loss_curve_ = [*self.loss_curve_, loss]
            self.n_epochs_ = self.best_epoch_ = self.n_epochs_ + 1
        return self

    def _read(self, X: Any, y: Any, *, fitting: bool) -> Table:
        """A table that comes with its targets, and the arguments looked at."""
        if fitting:
            self._check_options()
        table = self._table(X, fitting=fitting)
        check_given(y, table.rows, type(self).__name__)
        return table

    def _table(self, X: Any, *, fitting: bool = False) -> Table:
        """The columns of `X`. Raises where they are not those that the estimator was fitted on."""
        meant = chosen_columns(self.categorical_features, X) if fitting else self._meant
        table = read_table(X, categorical=meant)
        named = X if hasattr(X, "iloc") else np.empty((table.rows, len(table.columns)), dtype=bool)
        validate_data(self, named, reset=fitting, skip_check_array=True)
        if fitting:
            self._meant = meant
        return table

    def _outputs(self, X: Any) -> npt.NDArray[np.float64]:
        """What the network gives for each row of `X`."""
        check_is_fitted(self)
        return self._outputs_of(self._table(X))

    def _outputs_of(self, table: Table) -> npt.NDArray[np.float64]:
        numbers, codes = self.preprocessor_(table)
        return outputs(self.get_params(deep=False), self.network_, numbers, codes)

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
