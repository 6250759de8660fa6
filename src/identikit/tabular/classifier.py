"""`ResNetClassifier`: a residual network for tables that names a class for each row."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassifierMixin

from identikit.errors import TableError
from identikit.metrics import Metric
from identikit.metrics.accuracy import Accuracy
from identikit.tabular.fitted import FittedEstimator
from identikit.tabular.targets import numbered, read_labels
from identikit.tabular.training import Loss


class ResNetClassifier(ClassifierMixin, FittedEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A residual network for tables with the interface of scikit-learn, trained on the cross entropy.

    Columns may be numbers, text, bools, pandas' categories; values may be missing (NaN, None), where the network gets
    the median and a column that marks it, or a category of its own. A category not seen in `fit` counts as none; a
    column that held no value, or one number throughout, says nothing later. The arguments are explained at `__init__`;
    there is no `sample_weight` (`fit` says why).

    Attributes:
        classes_: the labels, in order.
        network_: the `TabularResNet`, float32, on the CPU. Predictions are computed in float64.
        preprocessor_: what was learned of the columns.
        loss_curve_, validation_curve_: after each epoch, the loss on the rows trained on and on those held out.
        n_epochs_, best_epoch_: how many epochs there were, and whose weights were kept.
        n_features_in_, feature_names_in_: as in scikit-learn. front_: what `prune` found.

    Source: Gorishniy et al. 2021, arXiv 2106.11959.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> X, y = load_wine(return_X_y=True)
        >>> model = ResNetClassifier(max_epochs=20, random_state=0).fit(X, y)
        >>> bool(model.score(X, y) > 0.9)
        True
    """

    classes_: npt.NDArray[Any]

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Go once through these rows, as one epoch of training.

        The first call learns from them what the columns are; it needs `classes`, all that will ever come. After `fit`
        training goes on from what it found. `learning_rate`, `weight_decay`, `batch_size`, `n_jobs` and `device` are
        looked at in each call; the network keeps its sizes and dropout. Raises TableError, and then nothing has
        changed.
        """
        if classes is None and not hasattr(self, "network_"):
            raise TableError("classes must be given on the first call of partial_fit: all that will ever come.")
        return self._partial_fit(X, y, classes)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likeliest class of each row, `[rows]`."""
        scores = self._outputs(X)
        found: npt.NDArray[Any] = self.classes_[scores.argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """How likely each class is, `[rows, classes]`, in the order of `classes_`."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """The logarithms of `predict_proba`."""
        return torch.from_numpy(self._outputs(X)).log_softmax(dim=1).numpy()

    def _learn_target(self, y: Any, classes: Any = None) -> None:
        found = np.unique(read_labels(y if classes is None else classes))
        if classes is not None and hasattr(self, "network_") and not np.array_equal(found, self.classes_):
            raise TableError(f"classes={found.tolist()} are not those of the first call, {self.classes_.tolist()}.")
        if len(found) < 2:
            raise TableError(f"y holds 1 class ({found.tolist()[0]!r}), and there must be two at least to tell apart.")
        self.classes_ = found

    def _target(self, y: Any, what: str = "y") -> torch.Tensor:
        return torch.from_numpy(numbered(read_labels(y, what), self.classes_, what))

    def _out_features(self) -> int:
        return len(self.classes_)

    def _loss(self) -> Loss:
        return torch.nn.functional.cross_entropy

    def _metric(self) -> Metric:
        return Accuracy("classes")

    def _target_state(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str}

    def _restore_target(self, state: dict[str, Any]) -> None:
        self.classes_ = np.array(state["classes"], dtype=np.dtype(state["dtype"]))
