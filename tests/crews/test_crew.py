"""Law: the rows of a sweep are the same whoever works them out, however many groups are in hand at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

import identikit as ik
from crews.farther import data, facts, net
from identikit.batches import Batch
from identikit.crews.crew import Found, Job, Note
from identikit.crews.local import Local
from identikit.errors import MetricError


class Ahead:
    """A crew of one that takes several jobs before it answers the first, and wants groups of any size."""

    def __init__(self, local: Local, ahead: int, size: int) -> None:
        self.local, self.ahead, self.size = local, ahead, size
        self.jobs = 0

    @property
    def name(self) -> str:
        return self.local.name

    @property
    def notes(self) -> Any:
        return self.local.notes

    def prepare(self, first: Batch, second: Batch | None, plans: Any, examples: int | None) -> None:
        self.local.prepare(first, second, plans, examples)

    def group_size(self) -> int:
        return self.size

    def run(self, jobs: Iterator[Job], note: Note) -> Iterator[Found]:
        held: deque[Job] = deque()
        more = True
        while more or held:
            while more and len(held) < self.ahead:
                job = next(jobs, None)
                more = job is not None
                held += [job] if job is not None else []
            self.jobs += 1
            if held:
                yield from self.local.run(iter([held.popleft()]), note)


def scanned(monkeypatch: pytest.MonkeyPatch, ahead: int, size: int, **how: Any) -> tuple[list[Any], int]:
    """The rows of a scan whose crew is `Ahead`, and how many jobs it worked off."""
    made: list[Ahead] = []

    def spread(found: Any, lead: Any, *, ray: Any, workers: Any) -> Any:
        made.append(Ahead(found.ledger._crew, ahead, size))
        found.ledger.hand_to(made[0])
        return lead()

    with monkeypatch.context() as patch:
        patch.setattr("identikit.scanning.scan.spread", spread)
        return facts(ik.scan(net(), data(32), costs=False, **how)), made[0].jobs


@pytest.mark.parametrize("how", [{}, {"confidence": 0.9}, {"confidence": 0.9, "least": 1}], ids=str)
@pytest.mark.parametrize("engine", ["loop", "suffix"])
def test_rows_are_the_same_for_any_crew(how: dict[str, Any], engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {**how, "engine": engine, "metrics": ["fidelity", "accuracy"]}
    alone = facts(ik.scan(net(), data(32), costs=False, **how))
    assert ({row["examples"] for row in alone} == {127}) == ("confidence" not in how)  # a race stops some
    for ahead, size in [(1, 1), (2, 1), (3, 2), (5, 7), (2, 100)]:
        assert scanned(monkeypatch, ahead, size, **how)[0] == alone, (ahead, size)


def test_a_race_that_is_over_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"confidence": 0.5, "least": 1, "engine": "loop"}
    rows, jobs = scanned(monkeypatch, 2, 1, **how)
    assert max(row["examples"] for row in rows) < 127
    assert jobs < 32


def test_the_first_error_in_the_order_of_the_batches_is_the_one_that_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def metric(output: Any, batch: Any, reference: Any) -> Any:
        nonlocal calls
        calls += 1
        return output.sum(1) * (float("nan") if calls == 8 else 1)

    with pytest.raises(MetricError) as alone:
        ik.scan(net(), data(), metrics=metric, engine="loop", costs=False)
    calls = 0
    with pytest.raises(MetricError) as ahead:
        scanned(monkeypatch, 3, 1, metrics=metric, engine="loop")
    assert str(ahead.value) == str(alone.value)
    assert str(alone.value).startswith("without layers.")


def test_workers_without_a_cluster() -> None:
    with pytest.raises(ik.IdentikitError, match=r'workers=2 is how many Ray workers there are\. Give ray="auto" too\.'):
        ik.scan(net(), data(), workers=2)
