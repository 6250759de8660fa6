"""`scan`: what each layer is worth on the user's data: exactly, by a cheap score, or cheap first and then exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from identikit.errors import DataError
from identikit.families import Family
from identikit.progress import Board, board
from identikit.results import ScanResult
from identikit.scanning.byte_sizes import bytes_of
from identikit.scanning.filed import check_file
from identikit.scanning.ledger import Measuring
from identikit.scanning.methods import cheap_method, cheap_scores, check_method, worth_exact
from identikit.scanning.prepare import At, Candidates, prepare
from identikit.scanning.spread import spread
from identikit.turns import in_turn


@in_turn
def scan(
    model: nn.Module, data: Any = None, at: At = None, metrics: Any = "fidelity", method: str = "exact", *,
    score: Any = None, inputs: Any = None, family: Family | None = None, as_: str | None = None,
    span: int | None = None, by: str | None = None, batch_size: int | None = None, limit: int | None = None,
    seed: int = 0, confidence: float | None = None, race: bool | None = None, least: int | None = None,
    engine: str = "auto", batch_memory: int | str | None = None, costs: bool = True,
    ray: str | None = None, workers: int | None = None,
    to: str | Path | None = None, resume: bool = False, overwrite: bool = False,
    progress: bool | Board | None = None, name: str = "", command: str = "",
) -> ScanResult:  # fmt: skip
    """Leave each layer out in turn and measure what that does; the model is left as it was.

    Args:
        data: what can be read twice: a list of batches, a DataLoader, a Dataset (with `batch_size`), a datasets table.
        at: places such as "encoder.layer.*"; every whole block of the model's stacks where None.
        metrics: one or several: a name, "file.py:function", an ik.Metric, a torchmetrics metric.
        method: "exact" (leave-one-out), or a score of all layers from one pass over the data: "influence" and "angular"
            (how far a block turns its stream), "taylor" (the slope of the loss, or of the output, by a gate on each
            layer). "auto": influence (taylor where a layer is no whole block), then exact for the half with the
            smallest scores. `result.agreement()` says how well the two rankings agree.
        score: `function(model) -> float` or "file.py:function": a whole-model evaluator, without error bars.
        as_: "identity", "zero" or "one" for layers whose role is not proved, as in `bypass`; "mean", "shortcut",
            "adapter" or "resample" (another example's values) to put that in the place of each layer instead.
        span: leave out every run of so many neighbouring layers of a stack. by: "stage", all layers of a container at
            once; "type", all of one class and kind.
        confidence: of the intervals, 0 to 1 (0.95 where None). Given, it lets candidates race: one whose rank is
            settled sees no more examples; `race=False` asks for the intervals alone.
        least: how many least important layers a race tells apart; the whole ranking where None.
        engine: "auto", "suffix", "chain" or "loop": how exact scans reuse what an edit does not change.
        batch_memory: what that may fill, in bytes or as "2GB". costs: measure each layer's time, FLOPs and memory too.
        ray: "auto", "local" or a cluster's address: Ray's workers measure the rows; `workers`: how many of them. Under
            torchrun, and wherever torch.distributed is set up, the ranks share the scan, each calling it alike.
        to: a file to write each row to as it is measured; with `resume` a scan that was cut short goes on there.

    Raises:
        DataError, MetricError, PlaceError, RoleError, InputsError, ResultError, WorkersError: one line each. An error
        while a layer is scored is an error, never a score.
    """
    check_method(method, least)
    racing = confidence is not None if race is None else race
    how = Measuring(seed, 0.95 if confidence is None else confidence, racing, least, costs)
    found = prepare(
        model, data, at, metrics, score,
        inputs=inputs, family=family, batch_size=batch_size, limit=limit, how=how, engine=engine,
        memory=bytes_of(batch_memory), as_=as_, span=span, by=by, exact=method in ("exact", "auto"),
    )  # fmt: skip

    def lead() -> ScanResult:
        path = Path(to) if to is not None else None
        if path is not None:  # before anything is scored
            check_file(path, resume=resume, overwrite=overwrite)
        with board(progress) as bars:
            ledger, done = found.ledger, False
            exact = _scored(found, method, bars, least, seed)
            ledger.open(found.paths, to=path, resume=resume, overwrite=overwrite, name=name, command=command)
            try:
                with bars.bar("scan", found.examples()) as bar:
                    ledger.measure_all({name: found.plans[name] for name in exact}, bar)
                done = True
            finally:
                ledger.close(done=done)
        return ledger.result

    return spread(found, lead, ray=ray, workers=workers)


def _scored(found: Candidates, method: str, bars: Board, least: int | None, seed: int) -> list[str]:
    """Hand the cheap scores to the ledger, where `method` begins with some; which candidates to measure exactly."""
    cheap = cheap_method(found.ledger.anatomy, found.plans, method)
    if cheap is None:
        return list(found.plans)
    if found.data is None:
        raise DataError(f'method="{method}" reads the layers on data. Give data, or use method="exact".')
    anatomy, batches = found.ledger.anatomy, bars.track(found.data, cheap)
    scores = cheap_scores(anatomy, batches, found.plans, cheap, metrics=found.metrics, seed=seed)
    found.ledger.include(cheap, scores, found.plans)
    return worth_exact(scores, least) if method == "auto" else []
