"""`prune`: drop the layers that the data miss least, until a target; the model handed in is not edited."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from identikit.confidence.effect import keeps
from identikit.families import Family
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.progress import Board, board
from identikit.pruning.amounts import Amounts, pass_times
from identikit.pruning.budgets import Budget
from identikit.pruning.search import Search, Way
from identikit.pruning.step import Step
from identikit.pruning.ways import check_method, way_of
from identikit.results import Front, Point, ScanResult
from identikit.results import Score as PointScore
from identikit.scanning.byte_sizes import bytes_of
from identikit.scanning.ledger import Measuring
from identikit.scanning.prepare import At, Candidates, prepare
from identikit.scanning.spread import spread
from identikit.surgery.carried import carried, first_paths
from identikit.surgery.remove import remove
from identikit.surgery.resampled import refuse_for_good


@dataclass(frozen=True)
class Pruned:
    """The smaller model and how it was found.

    `model`: a copy without the dropped layers, ready for `ik.save`. `plan`: what was dropped. `front`: the whole curve,
    from the full model to the last one tried. `scan`: every model that was measured on the way.
    """

    model: nn.Module
    plan: Plan
    front: Front
    scan: ScanResult

    def report(self, to: str | Path = "report.html") -> Path:
        """Write one self-contained HTML page and return its path."""
        from identikit.reporting.html import report

        return report((self.scan, self.front), to)

    def plot(self) -> Any:
        """A matplotlib Figure: quality against layers dropped."""
        return self.front.plot()

    def __repr__(self) -> str:
        return repr(self.front)


def prune(
    model: nn.Module, data: Any = None, at: At = None, metrics: Any = "fidelity", *,
    keep: float | None = None, max_drop: float | None = None, drop: int | None = None, params: float | None = None,
    flops: float | None = None, speedup: float | None = None,
    method: str = "greedy", beam: int = 4, score: Any = None,
    inputs: Any = None, family: Family | None = None, as_: str | None = None,
    batch_size: int | None = None, limit: int | None = None, seed: int = 0, confidence: float = 0.95,
    engine: str = "auto", batch_memory: int | str | None = None,
    ray: str | None = None, workers: int | None = None,
    to: str | Path | None = None, resume: bool = False, overwrite: bool = False,
    progress: bool | Board | None = None, name: str = "", command: str = "",
) -> Pruned:  # fmt: skip
    """Drop the layers that the data miss least, until a target; every set that is tried is measured on the data.

    Args:
        method: "greedy": after each removal every layer that is left is scored again (SLEB, Song et al. 2024).
            "beam": the `beam` best sets of each size go on; "span": the best run of neighbouring layers of each length.
        keep: the share of the full model's score to keep (0.98: at least 98 %, or at most 2 % more of a loss);
            0.98 where no target is given. This floor and the next must hold at the worse end of the score's interval.
        max_drop: how much worse the first metric may get, in its units; for metrics whose full score is not above zero.
        drop: how many layers go. params, flops: the share of the parameters, or of the FLOPs of a pass over the first
            batch, that may stay. speedup: how many times as fast that pass is to be, measured here.
        to: a file that every measured row is written to; with `resume` a prune that was cut short goes on there.
        Everything else as in `scan`.

    Raises:
        BudgetError: no or several targets, or one that cannot be reached (names the nearest that can). Else as `scan`.
    """
    check_method(method, beam)
    targets = (max_drop, drop, params, flops, speedup)
    budget = Budget(0.98 if keep is None and targets == (None,) * len(targets) else keep, *targets)
    found = prepare(
        model, data, at, metrics, score,
        inputs=inputs, family=family, batch_size=batch_size, limit=limit, as_=as_,
        how=Measuring(seed=seed, confidence=confidence), engine=engine, memory=bytes_of(batch_memory), keep=True,
    )  # fmt: skip
    refuse_for_good([edit for each in found.plans.values() for edit in each], "pruned")
    way = way_of(method, beam, found.ledger.anatomy, found.plans)

    def lead() -> tuple[Plan, Front, ScanResult]:
        with board(progress) as bars:
            return _searched(
                found, way, budget, bars, to=to, resume=resume, overwrite=overwrite, name=name, command=command
            )

    plan, front, result = spread(found, lead, ray=ray, workers=workers)
    smaller = remove(copy.deepcopy(found.ledger.anatomy.model), plan, inputs=found.ledger.anatomy.batch, family=family)
    return Pruned(smaller, plan, front, result)


def _searched(
    found: Candidates, way: Way, budget: Budget, bars: Board, *,
    to: str | Path | None, resume: bool, overwrite: bool, name: str, command: str,
) -> tuple[Plan, Front, ScanResult]:  # fmt: skip
    """What to drop, the curve on the way there, and every row that was measured."""
    ledger, path = found.ledger, Path(to) if to is not None else None
    ledger.open(list(found.plans), to=path, resume=resume, overwrite=overwrite, name=name, command=command)
    done = False
    try:
        with bars.bar("prune") as bar:
            # the full model first: what cannot be reached is refused before the search
            ledger.measure_all({}, bar, likely=found.plans)
            metric, info = next(iter(ledger.result.header.metrics.items()))
            amounts = Amounts(ledger.anatomy, way.space, budget)
            search = Search(way, metric, info, budget, ledger.measure_all, amounts)
            steps, chosen, ended = search.steps(bar)
        done = True
    finally:
        ledger.close(done=done)
    front = _front(ledger.anatomy, ledger.result, search, steps, chosen, ended)
    return _bound(steps[chosen].plan, ledger.anatomy, ledger.result), front, ledger.result


def _bound(plan: Plan, anatomy: Anatomy, scan: ScanResult) -> Plan:
    """The plan with the hash of the weights that it was chosen on, where these are the ones first loaded."""
    first_loaded = carried(anatomy.model) is None
    return plan.bound(plan.fingerprint, scan.header.weights if first_loaded else "", plan.model)


def _front(
    anatomy: Anatomy, scan: ScanResult, search: Search, steps: list[Step], chosen: int, ended: str
) -> Front:  # fmt: skip
    latencies = pass_times(anatomy, [step.plan for step in steps])
    points = [
        _point(anatomy, scan, step, search.way.space.parameters_left(step.gone), seconds)
        for step, seconds in zip(steps, latencies, strict=True)
    ]
    why = search.way.why(steps[: chosen + 1], first_paths(anatomy.model, list(steps[chosen].gone)))
    goal = search.budget.words(search.metric, search.info.higher_is_better)
    return Front(scan.header, tuple(points), chosen, goal, (*why, f"It stopped there because {ended}"))


def _point(anatomy: Anatomy, scan: ScanResult, step: Step, left: int, seconds: float) -> Point:
    infos = scan.header.metrics
    scores = {name: PointScore(info.full, info.full, 0.0) for name, info in infos.items()}
    for name, row in step.rows.items():
        scores[name] = PointScore(row.full, row.edited, row.effect, row.low, row.high)
    first = next(iter(infos))
    info, edited = infos[first], scores[first].edited
    kept = keeps(info.full, edited, info.higher_is_better, name=first) if info.full > 0 else None
    plain = all(edit.op == "identity" and not edit.options for edit in step.plan)
    whole = None if plain else _bound(step.plan, anatomy, scan).to_json()
    return Point(step.plan.places, scores, left, kept, seconds, whole)
