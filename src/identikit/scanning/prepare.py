"""From a verb's arguments to a ledger: the data opened, the metrics read, the model watched on the first batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from identikit.crews.worker import Recipe
from identikit.errors import DataError, MetricError, PlanError
from identikit.families import Family
from identikit.families.anatomy import anatomy_of
from identikit.metrics import Metric, resolve_all
from identikit.plan import Plan
from identikit.scanning.candidates import At as At
from identikit.scanning.candidates import candidates, chosen
from identikit.scanning.inner import with_parts
from identikit.scanning.ledger import Ledger, Measuring
from identikit.scanning.score import Score
from identikit.sources.objects import as_data
from identikit.sources.readings import Data
from identikit.surgery.carried import live_plans


@dataclass(frozen=True)
class Candidates:
    """What a scan or a prune looks at: the name of each candidate (its present path) to the plan that takes it out.

    `paths`: the layers that the plans are made of, each once. `metrics`: those that were asked for. `recipe`: how the
    engine is made.
    """

    ledger: Ledger
    plans: dict[str, Plan]
    data: Data | None
    recipe: Recipe
    paths: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()

    def examples(self) -> int | None:
        """About how many examples a sweep judges (the last batch may be smaller); None where only reading tells."""
        try:
            return None if self.data is None else len(self.data) * self.ledger.anatomy.batch.examples
        except TypeError:
            return None


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
    how: Measuring,
    engine: str = "auto",
    memory: int | None = None,
    keep: bool = False,
    as_: str | None = None,
    parts: bool = False,
    span: int | None = None,
    by: str | None = None,
    exact: bool = True,
) -> Candidates:
    """Open everything and choose the layers; the arguments are those of the verbs. Raises what the parts raise.

    memory: bytes for the engine's states. keep: sweeps follow that build on each other (a search). parts: the layers
    inside the chosen ones that can go by themselves are candidates too. exact: whether any candidate is measured, not
    only scored.
    """
    if live_plans(model):
        raise PlanError("an edit is still applied to this model. Undo the handle, then measure.")
    if data is None and score is None:
        raise DataError("nothing to measure on. Give data, or score=function that takes the whole model.")
    read = as_data(data, batch_size=batch_size, limit=limit, seed=how.seed) if data is not None else None
    resolved = resolve_all(metrics) if read is not None else []
    if not 0 < how.confidence < 1:
        raise MetricError(f"confidence={how.confidence:g} is no share between 0 and 1, such as 0.95.")
    example = next(iter(read)) if read is not None and inputs is None else inputs
    anatomy = anatomy_of(model, example, family)
    paths = with_parts(anatomy, chosen(anatomy, at)) if parts else chosen(anatomy, at)
    plans = candidates(anatomy, paths, as_=as_, data=read, span=span, by=by)
    evaluator = Score(score) if score is not None else None
    if evaluator is not None and any(metric.name == evaluator.name for metric in resolved):
        raise MetricError(f'the score and a metric are both called "{evaluator.name}". Give the function another name.')
    recipe = Recipe(tuple(paths), how.seed, engine, memory, keep)
    judges = (resolved, evaluator) if exact else ([], None)
    ledger = Ledger(anatomy, read, *judges, recipe.engine(anatomy), how)
    return Candidates(ledger, plans, read, recipe, tuple(paths), tuple(resolved))
