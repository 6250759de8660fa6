"""From a verb's arguments to a ledger: the data opened, the metrics read, the model watched on the first batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from identikit.errors import DataError, MetricError, PlanError
from identikit.families import Family
from identikit.families.anatomy import anatomy_of
from identikit.metrics import resolve_all
from identikit.plan import Plan
from identikit.scanning.candidates import At as At
from identikit.scanning.candidates import candidates
from identikit.scanning.ledger import Ledger
from identikit.scanning.score import Score
from identikit.sources.objects import as_data
from identikit.sources.readings import Data
from identikit.surgery.carried import live_plans


@dataclass(frozen=True)
class Candidates:
    """What a scan or a prune looks at: the name of each candidate (its present path) to the plan that takes it out."""

    ledger: Ledger
    plans: dict[str, Plan]
    data: Data | None


def prepare(
    model: nn.Module,
    data: Any,
    at: At,
    metrics: Any,
    score: Any,
    *,
    inputs: Any,
    family: Family | None,
    batch_size: int | None,
    limit: int | None,
    seed: int,
    confidence: float,
    as_: str | None = None,
    span: int | None = None,
    by: str | None = None,
) -> Candidates:
    """Open everything and choose the layers. Raises what the parts raise, each in one line."""
    if live_plans(model):
        raise PlanError("an edit is still applied to this model. Undo the handle, then measure.")
    if data is None and score is None:
        raise DataError("nothing to measure on. Give data, or score=function that takes the whole model.")
    read = as_data(data, batch_size=batch_size, limit=limit, seed=seed) if data is not None else None
    resolved = resolve_all(metrics) if read is not None else []
    if not 0 < confidence < 1:
        raise MetricError(f"confidence={confidence:g} is no share between 0 and 1, such as 0.95.")
    example = next(iter(read)) if read is not None and inputs is None else inputs
    anatomy = anatomy_of(model, example, family)
    plans = candidates(anatomy, at, as_=as_, data=read, span=span, by=by)
    evaluator = Score(score) if score is not None else None
    if evaluator is not None and any(metric.name == evaluator.name for metric in resolved):
        raise MetricError(f'the score and a metric are both called "{evaluator.name}". Give the function another name.')
    ledger = Ledger(anatomy, read, resolved, evaluator, seed=seed, confidence=confidence)
    return Candidates(ledger, plans, read)
