"""Other models beside the full one, on the same batches: judged example by example, as a scan judges a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from identikit.batches import Batch
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric, rows_of
from identikit.metrics.base import Floats
from identikit.replaying.draws import seed_all
from identikit.structure.traceless import traceless

FULL = ""


def side_by_side(
    anatomy: Anatomy, others: Mapping[str, nn.Module], data: Iterable[Batch], metrics: Sequence[Metric], *, seed: int
) -> dict[str, dict[str, Floats]]:
    """By model (FULL is that of `anatomy`) and metric: the rows of all examples, in their order.

    The others take what the full model takes. Random numbers are drawn alike. Raises MetricError where a value is none.
    """
    models = {FULL: anatomy.model, **others}
    found: dict[str, dict[str, list[Floats]]] = {name: {each.name: [] for each in metrics} for name in models}
    for number, raw in enumerate(data):
        batch = raw.to(anatomy.device)
        references: list[Any] = []
        for name, model in models.items():
            output = _output(anatomy, model, batch, seed + number)
            references = references or [metric.reference(output, batch) for metric in metrics]
            for metric, reference in zip(metrics, references, strict=True):
                found[name][metric.name].append(rows_of(metric, output, batch, reference))
    return {name: {each: np.concatenate(rows) for each, rows in parts.items()} for name, parts in found.items()}


def _output(anatomy: Anatomy, model: nn.Module, batch: Batch, seed: int) -> Any:
    with anatomy.family.quiet(model), traceless(model):
        seed_all(seed, anatomy.device)
        return batch.copied().call(model)
