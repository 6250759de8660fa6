"""The estimators' arguments: what they are, and, when fit is called, what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from identikit.errors import TableError
from identikit.tabular.scaling import check_scaling

#: Whole numbers: the least that makes sense.
_COUNTS = {"blocks": 1, "width": 1, "hidden": 1, "batch_size": 2, "max_epochs": 1, "patience": 1}


class Options(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """What both estimators take."""

    def __init__(
        self,
        *,
        blocks: int = 3,
        width: int = 128,
        hidden: int | None = None,
        dropout: float = 0.15,
        residual_dropout: float = 0.0,
        scaling: str | None = "quantile",
        categorical_features: Any = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 3e-2,
        batch_size: int | str = "auto",
        max_epochs: int = 200,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        patience: int = 20,
        random_state: Any = None,
        n_jobs: int | None = None,
        device: str = "cpu",
        progress: bool | None = False,
    ) -> None:
        """Nothing is looked at before `fit`, as everywhere in scikit-learn.

        Args:
            blocks, width, hidden: how many residual blocks, how many features run through them, and how many each
                computes inside (twice the width where None).
            dropout, residual_dropout: the share zeroed while training of what a block computes inside, and adds.
            scaling: of the columns of numbers: "quantile" (normal scores), "robust" (median, quartiles, smooth
                clipping), "standard" (mean, standard deviation), or None.
            categorical_features: columns whose numbers are categories: names, numbers or a mask. Text, bools and
                pandas' categories always are.
            learning_rate, weight_decay: of AdamW. The rate stays; the weights that predict are a running average.
            batch_size: rows a step; "auto" is a power of two from 32 to 1,024 by the number of rows.
            max_epochs: how often to go through the rows at most.
            early_stopping: hold out `validation_fraction` of the rows (of each class), stop when the loss on them got
                no lower for `patience` epochs, and keep the weights of the lowest. Where that are fewer than 8 rows,
                none are held out and there are `max_epochs` epochs.
            random_state: a whole number gives the same estimator again, to the bit on one CPU with as many threads.
                torch has one random state a process, so fit side by side in processes, not in threads.
            n_jobs: torch's threads while fitting and predicting; -1 is one a processor, None leaves it as it is.
            device: "cpu", "cuda", ... or "auto": a GPU where there is one. The fitted network is kept on the CPU.
            progress: True draws a bar, None only where a person watches.
        """
        self.blocks = blocks
        self.width = width
        self.hidden = hidden
        self.dropout = dropout
        self.residual_dropout = residual_dropout
        self.scaling = scaling
        self.categorical_features = categorical_features
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.device = device
        self.progress = progress

    def _check_options(self) -> None:
        """Raise TableError for the first argument that cannot be meant."""
        check_options(self.get_params(deep=False))


def check_options(given: Mapping[str, Any]) -> None:
    """Raise TableError for the first argument that cannot be meant."""
    for name, least in _COUNTS.items():
        value = given[name]
        unset = value is None if name == "hidden" else name == "batch_size" and _is_auto(value)
        if not unset and (not _is_whole(value) or value < least):
            raise TableError(f"{name}={value!r} is no whole number from {least} up.")
    for name in ("dropout", "residual_dropout"):
        _check_number(name, given[name], low=0, high=1, words="share from 0 up to 1", including_low=True)
    _check_number("validation_fraction", given["validation_fraction"], low=0, high=1, words="share between 0 and 1")
    _check_number("learning_rate", given["learning_rate"], low=0, high=None, words="number above 0")
    _check_number("weight_decay", given["weight_decay"], low=0, high=None, words="number from 0 up", including_low=True)
    jobs = given["n_jobs"]
    if jobs is not None and (not _is_whole(jobs) or jobs == 0):
        raise TableError(f"n_jobs={jobs!r} is no number of threads. Give 1 or more, -1 for all processors, or None.")
    if not isinstance(given["early_stopping"], bool | np.bool_):
        raise TableError(f"early_stopping={given['early_stopping']!r} is neither True nor False.")
    if given["progress"] is not None and not isinstance(given["progress"], bool):
        raise TableError(f"progress={given['progress']!r} is neither True, False nor None.")
    check_scaling(given["scaling"])


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral)


def _check_number(
    name: str, value: Any, *, low: float, high: float | None, words: str, including_low: bool = False
) -> None:
    number = not isinstance(value, bool) and isinstance(value, Real)
    above = number and (value >= low if including_low else value > low)
    if not above or (high is not None and not value < high) or value == float("inf"):
        raise TableError(f"{name}={value!r} is no {words}.")
