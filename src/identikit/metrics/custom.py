"""A metric from a user's function: `function(output, batch)` or `function(output, batch, reference)`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from identikit.batches import Batch
from identikit.errors import MetricError
from identikit.metrics.base import Metric

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionMetric(Metric):
    """One number per example from `function`; the aggregate is their mean.

    A function with a third argument (needed, or called `reference`) gets the full model's output there: a detached
    copy of all of it. Higher is better unless the function says otherwise: `function.higher_is_better = False`.
    For another aggregate subclass `ik.Metric`.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self.arguments = _arguments(function, self.name)

    def reference(self, output: Any, batch: Batch) -> Any:
        """A copy of the output where the function takes one."""
        return copied(output) if self.arguments == 3 else None

    def values(self, output: Any, batch: Batch, reference: Any) -> torch.Tensor:
        """What the function gives for this batch, as float64. MetricError where that is not one number per example."""
        given = self.function(output, batch, reference) if self.arguments == 3 else self.function(output, batch)
        try:
            values = torch.as_tensor(given).detach().cpu().double()
        except (TypeError, ValueError, RuntimeError) as error:
            raise MetricError(
                f'metric "{self.name}" gave {type(given).__name__}; '
                "return one number per example: a tensor, an array or a list."
            ) from error
        if values.ndim != 1:
            shape = "x".join(map(str, values.shape)) or "one number"
            raise MetricError(
                f'metric "{self.name}" gave {shape} for {batch.examples} examples; return one number per example, '
                "or subclass ik.Metric for rows of several columns."
            )
        return values


def _arguments(function: Callable[..., Any], name: str) -> int:
    """How many positional arguments to call with: 3 where the third is needed or called `reference`, else 2."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return 2  # a function written in C says nothing of its arguments
    places = [item for item in signature.parameters.values() if item.kind in _BY_POSITION]
    third = places[2] if len(places) > 2 else None
    count = 3 if third is not None and (third.default is third.empty or third.name == "reference") else 2
    if _takes(signature, count):
        return count
    raise MetricError(
        f'metric "{name}" is called with (output, batch) or (output, batch, reference); it takes {signature}.'
    )


def _takes(signature: inspect.Signature, count: int) -> bool:
    """True where a call with `count` positional arguments fits."""
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def copied(tree: Any) -> Any:
    """`tree` with every tensor detached and cloned, types kept: tuples, lists, dicts, dataclasses (model outputs)."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().clone()
    if isinstance(tree, tuple):
        items = [copied(item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list):
        return [copied(item) for item in tree]
    if isinstance(tree, dict):
        fresh = copy.copy(tree)
        for key, value in tree.items():
            fresh[key] = copied(value)
        return fresh
    if is_dataclass(tree) and not isinstance(tree, type):
        twin = copy.copy(tree)
        for item in fields(tree):
            object.__setattr__(twin, item.name, copied(getattr(tree, item.name)))
        return twin
    return tree
