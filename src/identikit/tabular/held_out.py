"""Which rows are held out to say when training should stop: some of each class, and none where there are too few."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_FEWEST = 8  # a smaller part says more about chance than about the network

Index = npt.NDArray[np.int64]


def split(
    rows: int, share: float, random: np.random.RandomState, classes: npt.NDArray[np.int64] | None = None
) -> tuple[Index, Index]:
    """The rows to train on and those to hold out, each in ascending order; the second may be empty.

    With `classes`, the class of each row, every class gives its share and keeps at least one row to train on.
    """
    groups = [np.arange(rows)] if classes is None else [np.flatnonzero(classes == each) for each in np.unique(classes)]
    held = np.sort(np.concatenate([random.permutation(group)[: int(share * len(group))] for group in groups]))
    if len(held) < _FEWEST:
        held = held[:0]
    return np.setdiff1d(np.arange(rows), held), held
