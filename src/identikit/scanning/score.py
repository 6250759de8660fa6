"""Whole-model evaluators: a function that takes the model and returns a number. Plain loop, no error bar."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.errors import IdentikitError, MetricError
from identikit.functions import load_function
from identikit.structure.traceless import traceless


class Score:
    """`function(model) -> float`, such as an evaluation harness; higher is better unless the function says otherwise.

    The direction is the function's attribute `higher_is_better` (True where it has none).
    """

    def __init__(self, function: Callable[[Any], Any] | str) -> None:
        self._function = load_function(function, error=MetricError) if isinstance(function, str) else function
        self.name = getattr(self._function, "__name__", "score")
        self.higher_is_better = bool(getattr(self._function, "higher_is_better", True))

    def __call__(self, model: nn.Module, seed: int = 0) -> float:
        """The score in eval mode, without a trace. MetricError where the function fails or gives no finite number."""
        try:
            with traceless(model):
                torch.manual_seed(seed)
                value = self._function(model)
        except IdentikitError:
            raise
        except Exception as failure:
            first = (str(failure).strip().splitlines() or [""])[0]
            raise MetricError(f'score "{self.name}" failed: {type(failure).__name__}: {first}') from failure
        try:
            number = float(value)
        except (TypeError, ValueError) as cause:
            raise MetricError(f'score "{self.name}" gave {type(value).__name__}, not a number.') from cause
        if not math.isfinite(number):
            raise MetricError(f'score "{self.name}" gave {number}; it cannot be compared.')
        return number
