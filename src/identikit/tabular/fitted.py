"""What a fitted estimator can do beyond predicting: judge its blocks, drop some, be saved and loaded."""

# X is scikit-learn's name for a table.
# ruff: noqa: N803

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from identikit.results import Front, ScanResult
from identikit.tabular.estimator import TabularEstimator
from identikit.tabular.persistence import load_estimator, save_estimator
from identikit.tabular.surroundings import usual_torch
from identikit.tabular.training import Rows
from identikit.tabular.worth import measured_blocks, pruned_blocks


class FittedEstimator(TabularEstimator):
    """The verbs for after `fit`."""

    front_: Front

    @usual_torch()
    def layer_report(
        self, X: Any, y: Any, *, confidence: float = 0.95, progress: bool | None = None
    ) -> ScanResult:  # fmt: skip
        """What each residual block is worth on these rows: each left out in turn, judged by accuracy or R².

        Args:
            X, y: rows that were not trained on, with their targets.
            confidence: of the intervals, 0 to 1.
            progress: None draws a bar where a person watches; True or False say so.

        Returns:
            A table of one row a block; `.plot()` and `.report()` draw it.

        Raises:
            TableError, MetricError: one line each.
        """
        rows = self._judged(X, y)
        return measured_blocks(self.network_, rows, self._metric(), confidence=confidence, progress=progress)

    @usual_torch()
    def prune(self, X: Any, y: Any, *, keep: float = 0.99, progress: bool | None = None) -> Self:
        """Drop the residual blocks that these rows do not miss, and return the estimator itself, as `fit` does.

        Blocks go one by one, each time the one whose absence costs least, as long as `keep` of the score is left.
        `front_` says what went and what each network on the way scored. The arguments stay: a clone is fitted with all
        blocks. To have both, prune a copy: `copy.deepcopy(estimator).prune(X, y)`.

        Args:
            X, y: rows that were not trained on, with their targets.
            keep: the share of the score (accuracy, R²) that is to stay, at the worse end of its 95 % interval.
            progress: None draws a bar where a person watches; True or False say so.

        Raises:
            BudgetError: every block is needed; the message names what the best single drop keeps. MetricError: the
                score is not above 0. TableError: one line. Nothing has changed then.
        """
        rows = self._judged(X, y)
        smaller, front = pruned_blocks(self.network_, rows, self._metric(), keep=keep, progress=progress)
        self._forget()
        self.network_, self.front_ = smaller, front
        return self

    @usual_torch()
    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the fitted estimator to a folder of JSON and safetensors, which `load` reads without running anything.

        The folder is loaded again before it gets its name: it gives the same bits, or nothing is written. Not in it:
        `front_`, and the optimiser's state, so `partial_fit` goes on with a fresh one.

        Raises:
            SaveError: the folder exists (`overwrite=True` replaces it) or cannot be written; an argument or a
                category is an object that JSON cannot hold; or what was written could not be loaded.
        """
        check_is_fitted(self)
        save_estimator(self, Path(path), overwrite)
        return Path(path)

    @classmethod
    @usual_torch()
    def load(cls, path: str | Path) -> Self:
        """The estimator that `save` wrote to the folder `path`; its predictions are the same to the bit.

        Raises:
            TableError: there is none, it is damaged, or it is of another class or a later version.
        """
        return load_estimator(cls, Path(path))

    def _judged(self, X: Any, y: Any) -> Rows:
        check_is_fitted(self)
        return self._rows(self._read(X, y), self._target(y))
