"""Metrics: what a model is worth on a batch, per example. `resolve` reads what the user wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from identikit.errors import MetricError, did_you_mean
from identikit.functions import load_function, names_function
from identikit.metrics.accuracy import Accuracy
from identikit.metrics.base import Metric, RatioMetric
from identikit.metrics.custom import FunctionMetric
from identikit.metrics.fidelity import Fidelity
from identikit.metrics.kl import KL
from identikit.metrics.loss import Loss
from identikit.metrics.perplexity import Perplexity
from identikit.metrics.rows import rows_of
from identikit.metrics.spearman import Spearman
from identikit.metrics.torchmetric import TorchMetric, is_torchmetric
from identikit.metrics.torchmetric_name import torchmetric_named

__all__ = ["FunctionMetric", "Metric", "RatioMetric", "TorchMetric", "known", "resolve", "resolve_all", "rows_of"]

_BUILT_IN: Mapping[str, type[Metric]] = MappingProxyType(
    {
        "accuracy": Accuracy,
        "fidelity": Fidelity,
        "kl": KL,
        "loss": Loss,
        "perplexity": Perplexity,
        "spearman": Spearman,
    }
)


def known() -> list[str]:
    """The names that `resolve` knows by heart."""
    return sorted(_BUILT_IN)


def resolve_all(specs: Any) -> list[Metric]:
    """One metric or several. Raises MetricError where there is none, or two have one name."""
    several = specs if isinstance(specs, Sequence) and not isinstance(specs, str) else [specs]
    metrics = [resolve(spec) for spec in several]
    if not metrics:
        raise MetricError(f"no metric given. Known: {', '.join(known())}.")
    names = [metric.name for metric in metrics]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MetricError(f'metric "{twice}" is given twice; give each once, or another name.')
    return metrics


def resolve(spec: Any) -> Metric:
    """The metric that `spec` means.

    `spec` is a name ("fidelity", or with a kind: "fidelity:cosine"), "file.py:function", "torchmetrics:Name" (or
    "torchmetrics:Name(argument=value)"), a Metric or a class of one, a function, or a torchmetrics metric.
    Raises MetricError for anything else.
    """
    if isinstance(spec, Metric):
        return _named(spec)
    if isinstance(spec, str):
        return _by_name(spec)
    if is_torchmetric(spec) or (isinstance(spec, type) and issubclass(spec, Metric)):
        instance = _made(spec) if isinstance(spec, type) else spec
        return _named(instance) if isinstance(instance, Metric) else TorchMetric(instance)
    if isinstance(spec, torch.nn.Module):
        raise MetricError(
            f"{type(spec).__name__} is a module, and a metric is called with (output, batch). Wrap it in a function "
            "that gives one number per example: lambda output, batch: ..."
        )
    if callable(spec) and not isinstance(spec, type):
        return FunctionMetric(spec)
    raise MetricError(
        f"a metric is a name ({', '.join(known())}), an ik.Metric, a function(output, batch), file.py:function "
        f"or a torchmetrics metric; found {spec.__name__ if isinstance(spec, type) else type(spec).__name__}."
    )


def _by_name(spec: str) -> Metric:
    """A built-in name, with or without a kind; a function in a file; a torchmetrics class."""
    name, _, kind = spec.partition(":")
    if name == "torchmetrics":
        return torchmetric_named(kind)
    if names_function(spec):
        return resolve(load_function(spec, error=MetricError))
    if name not in _BUILT_IN:
        raise MetricError(
            f'no metric "{spec}".{did_you_mean(name, known())} Known: {", ".join(known())}; '
            "or file.py:function, torchmetrics:Name."
        )
    made = _BUILT_IN[name]
    if not kind and ":" not in spec:
        return made()
    if kind not in made.kinds:
        listed = ", ".join(f"{name}:{word}" for word in made.kinds)
        hint = f"Known: {name}, {listed}." if listed else f'"{name}" stands alone.'
        raise MetricError(f'no metric "{spec}". {hint}')
    return made(kind)  # type: ignore[call-arg]  # a metric with kinds takes one


def _named(metric: Metric) -> Metric:
    """The metric, after a look at the name, which stands in every result."""
    if not metric.name:
        kind = type(metric).__name__
        raise MetricError(f'{kind} has no name; write it in the class: name = "{kind.lower()}".')
    return metric


def _made(kind: type[Any]) -> Any:
    """An instance of a class that needs no arguments. MetricError where it does."""
    try:
        return kind()
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"{kind.__name__} cannot be made without arguments ({_line(error)}). "
            f"Pass an instance: {kind.__name__}(...)."
        ) from error


def _line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()).rstrip(".")
