"""The small parts: chunks that grow while that pays, two examples of the data, generators, the memory's share."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from identikit.batches import Batch
from identikit.replaying import chunks as chunking
from identikit.replaying.budget import budget_on
from identikit.replaying.chunks import Chunks
from identikit.replaying.draws import Draws, seed_all
from identikit.replaying.pair import pair_of
from identikit.replaying.work import Work

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on by what the calls put into it."""
    time = [0.0]
    monkeypatch.setattr(chunking.time, "perf_counter", lambda: time[0])
    return time


def grown(chunks: Chunks, clock: list[float], seconds: list[float], calls: int = 40) -> int:
    """The size after so many calls; `seconds` of a call of 1, 2, 4, ... branches."""
    for _ in range(calls):
        size = chunks.size

        def call(size: int = size) -> None:
            clock[0] += seconds[size.bit_length() - 1]

        chunks.timed(size, call)
    return chunks.size


def test_calls_grow_while_a_branch_gets_cheaper(clock: list[float]) -> None:
    assert grown(Chunks(CPU, 100), clock, [1.0, 1.2, 1.5, 3.0, 9.0]) == 4  # 1, 0.6, 0.375, 0.375, 0.5625 a branch
    assert grown(Chunks(CPU, 100), clock, [1.0, 1.2, 2.6, 3.0, 8.0, 16.0]) == 8  # one slow doubling does not end it
    assert grown(Chunks(CPU, 100), clock, [1.0, 2.0, 4.0]) == 1
    assert grown(Chunks(CPU, 6), clock, [1.0] * 9) == 4  # 8 would not fit
    assert grown(Chunks(CPU, 100), clock, [1.0] * 9) == 64


def test_never_more_than_fits() -> None:
    assert Chunks(CPU, 0).size == 1
    few = Chunks(CPU, 3)
    few.gain(lambda members: None)
    assert few.size <= 3


def test_what_stacking_gains(clock: list[float]) -> None:
    chunks = Chunks(CPU, 100)

    def call(members: int) -> None:
        clock[0] += 1.0 + 0.25 * members

    assert chunks.gain(call) == pytest.approx((1 + 0.25 * 8) / 8 / 1.25)
    assert chunks.size == 8


def test_two_examples_of_a_batch() -> None:
    batch = Batch((torch.arange(12.0).reshape(4, 3),), examples=4)
    pair = pair_of(batch, None)
    assert pair.examples == 2
    assert torch.equal(pair.args[0], batch.args[0][:2])


def test_the_most_padded_ones_come_first() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 0]])
    table = torch.ones(7)  # no batch
    batch = Batch((), {"input_ids": torch.arange(12).reshape(4, 3), "attention_mask": mask, "table": table}, None, 4)
    pair = pair_of(batch, None)
    assert pair.kwargs["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 0]]
    assert pair.kwargs["input_ids"][:, 0].tolist() == [3, 9]
    assert torch.equal(pair.kwargs["table"], table)
    two = Batch((), {"x": torch.arange(8).reshape(8, 1), "attention_mask": torch.ones(8, 3)}, None, 4)
    assert pair_of(two, None).kwargs["x"].flatten().tolist() == [0, 1, 2, 3]  # of pairs of rows, both


def test_batches_of_one() -> None:
    one, other = (Batch((torch.full((1, 3), value),), examples=1) for value in (1.0, 2.0))
    assert pair_of(one, other).args[0][:, 0].tolist() == [1.0, 2.0]
    assert pair_of(one, None).args[0][:, 0].tolist() == [1.0, 1.0]
    longer = Batch((torch.ones(1, 4),), examples=1)
    assert pair_of(one, longer).args[0].shape == (2, 3)
    assert pair_of(one, other).examples == 2


def drawn() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_generators_stand_where_they_stood() -> None:
    before = Draws.now()
    first = drawn()
    before.put_back()
    assert drawn() == first
    assert before != 3


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), np.random.rand, random.random, lambda: torch.randperm(3)])
def test_every_draw_is_noticed(draw: object) -> None:
    before = Draws.now()
    assert before == Draws.now()
    draw()  # type: ignore[operator]
    assert before != Draws.now()


def test_one_seed_one_pass() -> None:
    seed_all(3, CPU)
    first = drawn()
    seed_all(3, CPU)
    assert drawn() == first
    seed_all(4, CPU)
    assert all(a != b for a, b in zip(drawn(), first, strict=True))
    seed_all(2**32 + 3, CPU)  # NumPy's seeds end there


def test_the_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget_on(CPU, 7) == 7
    assert budget_on(CPU) > 2**20

    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr("os.sysconf", unknown)
    assert budget_on(CPU) == 2**30


def test_work_that_proves_is_counted_apart() -> None:
    work = Work()
    work.add(2)
    with work.checking():
        work.add(3)
        with work.checking():
            work.add(5)
        work.add(7)
    work.add(11)
    assert (work.done, work.check) == (13, 15)
