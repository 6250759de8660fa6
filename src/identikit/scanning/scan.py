"""`scan`: what each layer is worth on the user's data, by exact leave-one-out, with an error bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from identikit.errors import MetricError
from identikit.families import Family
from identikit.progress import Board, board
from identikit.results import ScanResult
from identikit.scanning.prepare import At, prepare


def scan(
    model: nn.Module, data: Any = None, at: At = None, metrics: Any = "fidelity", method: str = "exact", *,
    score: Any = None, inputs: Any = None, family: Family | None = None, as_: str | None = None,
    batch_size: int | None = None, limit: int | None = None, seed: int = 0, confidence: float = 0.95,
    to: str | Path | None = None, resume: bool = False, overwrite: bool = False,
    progress: bool | Board | None = None, name: str = "", command: str = "",
) -> ScanResult:  # fmt: skip
    """Leave each layer out in turn and measure what that does; the model is left as it was.

    Args:
        data: what can be read twice: a list of batches, a DataLoader, a Dataset (with `batch_size`), a datasets table.
        at: places such as "encoder.layer.*"; every whole block of the model's stacks where None.
        metrics: one or several: a name, "file.py:function", an ik.Metric, a torchmetrics metric.
        method: "exact" (leave-one-out; the plain loop).
        score: `function(model) -> float` or "file.py:function": a whole-model evaluator, without error bars.
        as_: "identity", "zero" or "one" for layers whose role is not proved, as in `bypass`.
        to: a file to write each row to as it is measured; with `resume` a scan that was cut short goes on there.
        confidence: of the intervals, 0 to 1.

    Raises:
        DataError, MetricError, PlaceError, RoleError, InputsError, ResultError: one line each. An error while a layer
        is scored is an error, never a score.
    """
    if method != "exact":
        raise MetricError(f'method="{method}" is not known; there is "exact".')
    found = prepare(
        model, data, at, metrics, score,
        inputs=inputs, family=family, batch_size=batch_size, limit=limit, seed=seed, confidence=confidence,
        as_=as_,
    )  # fmt: skip
    path = Path(to) if to is not None else None
    with board(progress) as bars:
        ledger = found.ledger
        ledger.open(list(found.plans), bars, to=path, resume=resume, overwrite=overwrite, name=name, command=command)
        try:
            with bars.bar("scan", len(found.plans)) as bar:
                for place, plan in found.plans.items():
                    bar.say(place)
                    ledger.measure(plan)
                    bar.advance()
            ledger.finish()
        finally:
            ledger.close()
    return ledger.result
