"""A prune from the first measurement to its curve: the search, then its trail once more on the held-out examples."""

from __future__ import annotations

import functools
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from identikit.files import refuse_link
from identikit.plan import Plan
from identikit.progress import Bar
from identikit.pruning.amounts import Amounts
from identikit.pruning.budgets import Budget
from identikit.pruning.contest import contest
from identikit.pruning.front import Trail, bound, front_of, judged
from identikit.pruning.heldout import Parts
from identikit.pruning.made_up import MakingUp
from identikit.pruning.search import Search, Way
from identikit.results import Front, ScanResult, Score
from identikit.scanning.ledger import Ledger
from identikit.scanning.prepare import Candidates


@dataclass(frozen=True)
class Filing:
    """Where the rows are written as they are measured, and what the file says of the run."""

    to: str | Path | None = None
    resume: bool = False
    overwrite: bool = False
    name: str = ""
    command: str = ""

    def open(self, ledger: Ledger, found: Candidates, *, held_out: bool = False) -> None:
        """Take the ledger's file; that of the held-out examples lies beside the other one."""
        to = Path(self.to) if self.to is not None else None
        if held_out and to is not None:
            to = beside(to)
            refuse_link(to)
        how = {"resume": self.resume, "overwrite": self.overwrite}
        ledger.open(list(found.plans), to=to, name=self.name, command=self.command, **how)


def beside(to: Path) -> Path:
    """Where the rows of the held-out examples are written: a.held-out.jsonl for a.jsonl."""
    return to.with_name(f"{to.stem}.held-out{to.suffix}")


def course(
    found: Candidates, parts: Parts, way: Way, budget: Budget, bar: Bar, filing: Filing, making: MakingUp | None = None
) -> tuple[Plan, Front, ScanResult]:
    """What to drop, the curve on the way there, and every row that the search measured."""
    ledger = found.ledger
    held = ledger.beside(parts.held) if parts.held is not None else None
    with ExitStack() as files:
        _take(files, ledger, filing, found)
        if held is not None:
            _take(files, held, filing, found, held_out=True)
        # the full model first: what cannot be reached is refused before the search
        ledger.measure_all({}, bar, likely=found.plans)
        metric, info = next(iter(ledger.result.header.metrics.items()))
        amounts = Amounts(ledger.anatomy, way.space, budget)
        made_up = None if making is None else functools.partial(_score, making, metric)
        search = Search(way, metric, info, budget, ledger.measure_all, amounts, made_up)
        trail = Trail(search, *search.steps(bar))
        if making is not None and trail.others:
            bar.say("making up for the best sets")
            trail = contest(trail, making)
        if held is not None:
            trail = _confirmed(trail, held, bar)
        if making is not None:
            bar.say("making up for what went")
            chosen = trail.steps[trail.chosen].plan
            score = _score(making, metric, chosen)
            if budget.floor and not search.reaches(score):
                making.leave(chosen)  # the layers dropped alone hold the floor, or they would not have been chosen
        files.pop_all()
    for each in (ledger, held):
        if each is not None:
            each.close(done=True)
    said = [parts.said] if parts.said else []
    header = ledger.result.header
    front = front_of(ledger.anatomy, header, trail, said, {} if making is None else making.known)
    return bound(trail.steps[trail.chosen].plan, ledger.anatomy, header), front, ledger.result


def _score(making: MakingUp, metric: str, plan: Plan) -> Score:
    return making.done(plan).scores[metric]


def _take(files: ExitStack, ledger: Ledger, filing: Filing, found: Candidates, *, held_out: bool = False) -> None:
    """Open the ledger's files; they are closed where the prune ends early, with what they hold."""
    filing.open(ledger, found, held_out=held_out)
    files.callback(ledger.close)


def _confirmed(trail: Trail, held: Ledger, bar: Bar) -> Trail:
    """The trail on the held-out examples, measured in one reading, and the choice that holds there too."""
    plans = {step.name: step.plan for step in trail.steps[1:]}
    bar.say("held-out examples")
    rows = held.measure_all(plans, bar)
    header = held.result.header
    steps = judged(trail.steps, rows)
    count = header.data.examples
    where = f"on the {count} held-out example{'s' if count > 1 else ''}"
    chosen, ended = trail.search.confirmed(steps, trail.chosen, trail.ended, where)
    return replace(trail, chosen=chosen, ended=ended, held=(header, steps))
