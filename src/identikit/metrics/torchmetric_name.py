"""Reading "torchmetrics:Name(argument=value)", a torchmetrics metric by name. Literals only, never code."""

from __future__ import annotations

import ast
import importlib
from typing import Any

from identikit.errors import MetricError, did_you_mean, needs_extra
from identikit.metrics.torchmetric import TorchMetric, is_torchmetric


def torchmetric_named(call: str) -> TorchMetric:
    """The metric that `call` names: "MulticlassF1Score(num_classes=10)", or a name alone where it needs no arguments.

    `higher_is_better=True` may stand among the arguments, for a metric that does not say it itself.
    Raises MissingExtraError without torchmetrics, MetricError where it has no such metric or the arguments do not fit.
    """
    name, keywords = _read(call)
    better = keywords.pop("higher_is_better", None)
    try:
        places = [importlib.import_module(f"torchmetrics{part}") for part in ("", ".classification")]
    except ImportError as error:
        raise needs_extra("torchmetrics", "metrics", f'the metric "torchmetrics:{name}"') from error
    known = {word: found for place in reversed(places) for word, found in vars(place).items() if _is_metric(found)}
    if name not in known:
        raise MetricError(f'torchmetrics has no metric "{name}".{did_you_mean(name, known)}')
    try:
        metric = known[name](**keywords)
    except (TypeError, ValueError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise MetricError(
            f'the metric "torchmetrics:{name}" needs other arguments ({said}). '
            f'Write them: "torchmetrics:{name}(num_classes=10)", for example.'
        ) from error
    return TorchMetric(metric, higher_is_better=better)


def _is_metric(value: object) -> bool:
    """True for a class of a torchmetrics metric."""
    return isinstance(value, type) and is_torchmetric(value)


def _read(call: str) -> tuple[str, dict[str, Any]]:
    """Name and keyword arguments. MetricError for anything but a name and literals."""
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(item.arg): ast.literal_eval(item.value) for item in tree.keywords}
    except (SyntaxError, ValueError):
        tree = None
    raise MetricError(
        f'cannot read "torchmetrics:{call}". Write "torchmetrics:Name" or "torchmetrics:Name(argument=value)", '
        "with plain values."
    )
