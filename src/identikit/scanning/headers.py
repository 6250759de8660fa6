"""The header of a result: the model, the data, the metrics, the layers and what each costs, and the run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

import torch

from identikit.costing.cost import Cost, costs_of, parameters_of
from identikit.families.anatomy import Anatomy
from identikit.metrics import Metric
from identikit.metrics.base import Floats
from identikit.results import DataInfo, Header, MetricInfo, SiteInfo
from identikit.results.header import Interval
from identikit.sources.readings import Data
from identikit.structure.fingerprints import Identity
from identikit.surgery.carried import first_paths

_LIBRARIES = ("torch", "transformers", "sentence_transformers", "timm")


def header_for(
    anatomy: Anatomy,
    paths: Sequence[str],
    data: Data | None,
    metrics: Mapping[str, MetricInfo],
    *,
    seed: int,
    notes: Sequence[str],
    name: str,
    command: str,
    costs: bool,
    identity: Identity,
) -> Header:
    """What a result is about. `costs`: what each layer costs is measured, in a few passes over the first batch."""
    model = anatomy.model
    parameter = next(model.parameters(), torch.zeros(0))
    found, first = costs_of(anatomy, paths) if costs else {}, first_paths(model, list(paths))
    return Header(
        model=identity.model,
        name=name or identity.model,
        fingerprint=identity.structure,
        weights=identity.weights,
        data=_data_info(data),
        metrics=metrics,
        seed=seed,
        dtype=str(parameter.dtype).removeprefix("torch."),
        device=str(parameter.device),
        sites={each: _site(anatomy, path, found.get(path, Cost())) for path, each in zip(paths, first, strict=True)},
        total_parameters=parameters_of(model),
        versions=_versions(),
        notes=tuple(notes),
        command=command,
    )


def metric_info(metric: Metric, rows: Floats, confidence: float) -> MetricInfo:
    """A metric with the full model's score, and how its intervals are made."""
    paired = metric.column(rows) is not None
    kind: Interval = "none" if len(rows) < 2 else "paired" if paired else "bootstrap"
    return MetricInfo(metric.higher_is_better, metric.aggregate(rows), kind, confidence)


def _data_info(data: Data | None) -> DataInfo:
    if data is None:
        return DataInfo("the score's own data", "", 0)
    return DataInfo(data.name, data.fingerprint, data.examples)


def _site(anatomy: Anatomy, path: str, cost: Cost) -> SiteInfo:
    site = anatomy.site(path)
    share = None if cost.share is None else min(1.0, cost.share)
    times = (cost.seconds, cost.low, cost.high)
    return SiteInfo(site.kind, site.role, site.parameters, share, site.verdict, cost.flops, *times, cost.memory)


def _versions() -> dict[str, str]:
    loaded = {name: str(getattr(sys.modules[name], "__version__", "")) for name in _LIBRARIES if name in sys.modules}
    return {"identikit": metadata.version("identikit"), "python": platform.python_version(), **loaded}
