"""`ResNetRegressor`: a residual network for tables that gives one number, or several, for each row."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import RegressorMixin

from identikit.errors import TableError
from identikit.metrics import Metric
from identikit.tabular.fitted import FittedEstimator
from identikit.tabular.r_squared import RSquared
from identikit.tabular.targets import is_single, read_values
from identikit.tabular.training import Loss

_FAR = 1e15  # standard deviations; the square of more would not fit float32


class ResNetRegressor(RegressorMixin, FittedEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A residual network for tables with the interface of scikit-learn, trained on the squared error.

    The target is standardised while training; there may be several. Columns may be numbers, text, bools, pandas'
    categories; values may be missing (NaN, None), where the network gets the median and a column that marks it, or a
    category of its own. A category not seen in `fit` counts as none; a column that held no value, or one number
    throughout, says nothing later. The arguments are explained at `__init__`; there is no `sample_weight` (`fit` says
    why).

    Attributes:
        target_mean_, target_scale_: of each output.
        network_: the `TabularResNet`, float32, on the CPU. Predictions are computed in float64.
        preprocessor_: what was learned of the columns.
        loss_curve_, validation_curve_: after each epoch, the loss on the rows trained on and on those held out.
        n_epochs_, best_epoch_: how many epochs there were, and whose weights were kept.
        n_features_in_, feature_names_in_: as in scikit-learn. front_: what `prune` found.

    Source: Gorishniy et al. 2021, arXiv 2106.11959.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = ResNetRegressor(max_epochs=20, random_state=0).fit(X, y)
        >>> model.predict(X[:3]).shape
        (3,)
    """

    target_mean_: npt.NDArray[np.float64]
    target_scale_: npt.NDArray[np.float64]
    _single: bool

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Go once through these rows, as one epoch of training.

        The first call learns from them what the columns are and the targets' mean and spread. After `fit` training goes
        on from what it found. `learning_rate`, `weight_decay`, `batch_size`, `n_jobs` and `device` are looked at in
        each call; the network keeps its sizes and dropout. Raises TableError, and then nothing has changed.
        """
        return self._partial_fit(X, y)

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """The expected target of each row: `[rows]`, or `[rows, outputs]` where there are several."""
        found = self._outputs(X) * self.target_scale_ + self.target_mean_
        return found[:, 0] if self._single else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _learn_target(self, y: Any, classes: Any = None) -> None:
        values = read_values(y)
        largest = np.abs(values).max(axis=0).clip(min=1e-300)  # the sums below do not overflow then
        spread = (values / largest).std(axis=0) * largest
        self._single = is_single(y)
        self.target_mean_ = (values / largest).mean(axis=0) * largest
        self.target_scale_ = np.where(spread > 0, spread, 1.0)

    def _target(self, y: Any, what: str = "y") -> torch.Tensor:
        values = read_values(y, what)
        if values.shape[1] != len(self.target_mean_):
            raise TableError(
                f"{what} has {values.shape[1]} columns, and the first call had {len(self.target_mean_)}. Give as many."
            )
        with np.errstate(over="ignore"):
            standardised = (values - self.target_mean_) / self.target_scale_
        far = np.argwhere(np.abs(standardised) > _FAR)
        for row, output in far[:1]:
            raise TableError(
                f"{what} holds {values[row, output]:g} in row {row}, and the estimator was fitted on targets around "
                f"{self.target_mean_[output]:g} ± {self.target_scale_[output]:g}. Correct it, or fit again."
            )
        return torch.from_numpy(standardised).float()

    def _out_features(self) -> int:
        return len(self.target_mean_)

    def _loss(self) -> Loss:
        return torch.nn.functional.mse_loss

    def _metric(self) -> Metric:
        return RSquared()

    def _target_state(self) -> dict[str, Any]:
        return {"mean": self.target_mean_.tolist(), "scale": self.target_scale_.tolist(), "single": self._single}

    def _restore_target(self, state: dict[str, Any]) -> None:
        self.target_mean_ = np.array(state["mean"], dtype=np.float64)
        self.target_scale_ = np.array(state["scale"], dtype=np.float64)
        self._single = state["single"]
        alike = self.target_mean_.shape == self.target_scale_.shape
        if not alike or type(self._single) is not bool or (self._single and len(self.target_mean_) > 1):
            raise TableError('"target" is not what was written')
