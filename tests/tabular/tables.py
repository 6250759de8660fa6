"""A table of every kind of column, for the tests beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

SMALL: dict[str, Any] = {"blocks": 2, "width": 16, "max_epochs": 15, "random_state": 0}


def mixed(rows: int = 120) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Every kind of column with gaps; the target hangs on one of numbers, one of categories and one gap."""
    random = np.random.RandomState(0)
    size, colour = random.normal(size=rows), random.choice(["red", "green", "blue"], size=rows)
    gap = np.where(random.rand(rows) < 0.3, np.nan, random.normal(size=rows))
    frame = pd.DataFrame(
        {
            "size": size,
            "colour": pd.Categorical(colour),
            "gap": gap,
            "text": pd.Series(np.where(random.rand(rows) < 0.2, None, "a"), dtype=object),
            "flag": random.rand(rows) < 0.5,
            "code": random.randint(3, size=rows),
        }
    )
    return frame, size + 2.0 * (colour == "red") + 2.0 * np.isnan(gap)
