"""`prune`: drop the layers that the data miss least, until a target; the model handed in is not edited."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from identikit.families import Family
from identikit.families.anatomy import Anatomy
from identikit.plan import Plan
from identikit.progress import Board, board
from identikit.pruning.budgets import Budget
from identikit.pruning.course import Filing, course
from identikit.pruning.heldout import SHARE, split
from identikit.pruning.made_up import MakingUp, check_compensate, making_up
from identikit.pruning.mixed import MIXED, check_mixed
from identikit.pruning.ways import check_method, way_of
from identikit.results import Front, ScanResult
from identikit.results.chosen import chosen_step
from identikit.scanning.byte_sizes import bytes_of
from identikit.scanning.ledger import Measuring
from identikit.scanning.prepare import At, Candidates, prepare
from identikit.scanning.spread import spread
from identikit.sources.objects import as_data
from identikit.surgery.carried_provenance import note_step
from identikit.surgery.remove import remove, require_removable
from identikit.surgery.resampled import refuse_for_good
from identikit.turns import in_turn


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

    def plot(self, *, ax: Any = None) -> Any:
        """Matplotlib axes: quality against layers dropped. On `ax` where given, else on those of a new figure."""
        return self.front.plot(ax=ax)

    def to_markdown(self) -> str:
        """The full and the chosen model, and the whole curve, in Markdown."""
        return self.front.to_markdown()

    def __repr__(self) -> str:
        return repr(self.front)

    def _repr_html_(self) -> str:
        return self.front._repr_html_()


@in_turn
def prune(
    model: nn.Module, data: Any = None, at: At = None, metrics: Any = "fidelity", *,
    keep: float | None = None, max_drop: float | None = None, drop: int | None = None, params: float | None = None,
    flops: float | None = None, speedup: float | None = None, memory: int | str | None = None,
    holdout: float = SHARE, method: str = "greedy", beam: int = 4, compensate: str | None = None, score: Any = None,
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
            "beam": the `beam` best sets of each size go on; "span": the best run of neighbouring layers of each length;
            "mixed": blocks, and the parts of them whose role is proved (attention, MLP), go by their cost for what they
            save.
        keep: the share of the full model's score to keep (0.98: at least 98 %, or at most 2 % more of a loss);
            0.98 where no target is given. This floor and the next must hold at the worse end of the score's interval.
        max_drop: how much worse the first metric may get, in its units; for metrics whose full score is not above zero.
        drop: how many layers go. params, flops: the share of the parameters, or of the FLOPs of a pass over the first
            batch, that may stay. speedup: how many times as fast that pass is to be, measured here. memory: how many
            bytes it may need (400_000_000, "400MB"): weights and buffers, and the activations alive at once.
        holdout: the share of the data that the search does not see. Every point of the curve is measured on it
            afterwards: those are the scores of the front, and a floor must hold there too. 0: nothing is held out.
        compensate: what the dropped layers did is made up for by least squares on the data, kept where it helps on
            other examples. "fold": in the weights of the layer before each gap, so a plain checkpoint holds it.
            "adapter": by a linear map in each gap, which `ik.save(format="plan")` holds. A floor must then hold for the
            model made up for. After ReplaceMe (Shopkhoev et al. 2025, arXiv 2505.02819).
        to: a file that every measured row is written to (those of the held-out examples to one beside it:
            a.held-out.jsonl for a.jsonl); with `resume` a prune that was cut short goes on there.
        Everything else as in `scan`.

    Raises:
        BudgetError: no or several targets, or one that cannot be reached (names the nearest that can). Else as `scan`.
    """
    check_method(method, beam)
    budget = Budget.asked(keep, max_drop, drop, params, flops, speedup, memory)
    if method == MIXED:
        check_mixed(budget, as_=as_, compensate=compensate)
    check_compensate(compensate, budget, as_=as_, scored=score is not None)
    read = as_data(data, batch_size=batch_size, limit=limit, seed=seed) if data is not None else None
    example = next(iter(read)) if read is not None and inputs is None else inputs
    parts = split(read, holdout, seed, scored=score is not None)
    found = prepare(
        model, parts.search, at, metrics, score,
        inputs=example, family=family, batch_size=None, limit=None, as_=as_,
        how=Measuring(seed=seed, confidence=confidence), engine=engine, memory=bytes_of(batch_memory), keep=True,
        parts=method == MIXED,
    )  # fmt: skip
    _require_removable(found)
    way = way_of(method, beam, found.ledger.anatomy, found.plans, budget)
    making = None if compensate is None else making_up(found, parts, compensate, seed=seed, confidence=confidence)
    filing = Filing(to, resume, overwrite, name, command)

    def lead() -> tuple[Plan, Front, ScanResult]:
        with board(progress) as bars, bars.bar("prune") as bar:
            return course(found, parts, way, budget, bar, filing, making)

    plan, front, result = spread(found, lead, ray=ray, workers=workers)
    smaller, plan = _smaller(found.ledger.anatomy, plan, front, making)
    note_step(smaller, chosen_step(front, method=method))
    return Pruned(smaller, plan, front, result)


def _require_removable(found: Candidates) -> None:
    """Refuse before the search what could not be taken out after it."""
    refuse_for_good([edit for each in found.plans.values() for edit in each], "pruned")
    for path, plan in found.plans.items():
        for edit in plan:
            require_removable(found.ledger.anatomy, path, edit.op)


def _smaller(anatomy: Anatomy, plan: Plan, front: Front, making: MakingUp | None) -> tuple[nn.Module, Plan]:
    """A model without the layers of `plan`, made up for where that helps, and its plan."""
    made_up = front.choice.compensated
    if making is not None and made_up is not None and made_up.helps:
        made = making.of(plan)
        return made.model, made.plan.bound(plan.fingerprint, plan.weights, plan.model)
    return remove(copy.deepcopy(anatomy.model), plan, inputs=anatomy.batch, family=anatomy.family), plan
