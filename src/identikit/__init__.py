"""identikit turns any layer of a PyTorch model into the identity: safely, measurably, for good.

The public face; every name is loaded when it is first used, so `import identikit` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from identikit import nn as nn
    from identikit import tabular as tabular
    from identikit.auditing.audit import audit
    from identikit.errors import IdentikitError, IdentikitWarning
    from identikit.exporting.export import export
    from identikit.exporting.exported import Exported
    from identikit.families import Family
    from identikit.families.sites import sites
    from identikit.growing.duplicate import duplicate
    from identikit.growing.insert import insert
    from identikit.heads.features import features
    from identikit.healing.heal import heal
    from identikit.healing.record import healed
    from identikit.metrics import Metric
    from identikit.plan import Edit, Plan
    from identikit.pruning.prune import Pruned, prune
    from identikit.reporting.html import report
    from identikit.results import ScanResult
    from identikit.results.finding import Finding
    from identikit.results.healed import Healed
    from identikit.results.simplified import Simplified
    from identikit.saving.load import load
    from identikit.saving.save import save
    from identikit.scanning.scan import scan
    from identikit.simplifying.record import simplified
    from identikit.simplifying.simplify import simplify
    from identikit.structure.site import Site
    from identikit.surgery.apply import apply, bypass, only
    from identikit.surgery.handle import Handle
    from identikit.surgery.remove import remove

__version__ = "0.1.0"

_HOME = {
    "Edit": "plan",
    "Exported": "exporting.exported",
    "Family": "families",
    "Finding": "results.finding",
    "Handle": "surgery.handle",
    "Healed": "results.healed",
    "IdentikitError": "errors",
    "IdentikitWarning": "errors",
    "Metric": "metrics",
    "Plan": "plan",
    "Pruned": "pruning.prune",
    "ScanResult": "results",
    "Simplified": "results.simplified",
    "Site": "structure.site",
    "apply": "surgery.apply",
    "audit": "auditing.audit",
    "bypass": "surgery.apply",
    "duplicate": "growing.duplicate",
    "export": "exporting.export",
    "features": "heads.features",
    "heal": "healing.heal",
    "healed": "healing.record",
    "insert": "growing.insert",
    "load": "saving.load",
    "only": "surgery.apply",
    "prune": "pruning.prune",
    "remove": "surgery.remove",
    "report": "reporting.html",
    "save": "saving.save",
    "scan": "scanning.scan",
    "simplified": "simplifying.record",
    "simplify": "simplifying.simplify",
    "sites": "families.sites",
}

__all__ = [  # noqa: RUF022  # in the order in which a user meets them
    "sites", "bypass", "only", "apply", "remove", "insert", "duplicate", "features", "simplify", "simplified",
    "scan", "prune", "heal", "healed", "save", "load", "export", "report", "audit",
    "Plan", "Edit", "Site", "Finding", "Handle", "ScanResult", "Pruned", "Healed", "Simplified", "Exported",
    "Metric", "Family",
    "IdentikitError", "IdentikitWarning",
]  # fmt: skip


#: Wings with names of their own: `ik.nn.Residual`, `ik.tabular.ResNetRegressor`.
_WINGS = ("nn", "tabular")


def __getattr__(name: str) -> Any:
    if name in _WINGS:
        return importlib.import_module(f"identikit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'identikit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"identikit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, *_WINGS, "__version__"]
