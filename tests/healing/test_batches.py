"""What is held out is never learned from, and each epoch has an order of its own."""

from __future__ import annotations

import pytest
import torch

from identikit.errors import DataError
from identikit.healing.batches import MOST_HELD_OUT, Parts, parts_of
from identikit.sources.objects import as_data


def rows(count: int) -> list[torch.Tensor]:
    return [torch.full((2, 1), float(number)) for number in range(count)]


def numbers(batches: object) -> list[int]:
    return [int(batch.args[0][0]) for batch in batches]  # type: ignore[attr-defined]


@pytest.mark.parametrize("memory", [1 << 20, 0])
def test_held_out_and_learned_from_are_all(memory: int) -> None:
    parts = parts_of(as_data(rows(30)), 0.1, 0, memory=memory)
    out, epoch = numbers(parts.held_out), numbers(parts.epoch(0))
    assert len(out) == 3
    assert sorted(out + epoch) == list(range(30))
    assert parts.batches == 27
    assert parts.examples == (54, 6)


def test_orders() -> None:
    parts: Parts = parts_of(as_data(rows(30)), 0.1, 0)
    first, second = numbers(parts.epoch(0)), numbers(parts.epoch(1))
    assert first == numbers(parts.epoch(0))
    assert first != second
    assert sorted(first) == sorted(second)
    assert numbers(parts.epoch(1, skip=20)) == second[20:]
    assert numbers(parts_of(as_data(rows(30)), 0.1, 7).epoch(0)) != first


def test_what_does_not_fit_into_memory_comes_in_its_own_order() -> None:
    parts = parts_of(as_data(rows(30)), 0.1, 0, memory=0)
    assert numbers(parts.epoch(3)) == sorted(numbers(parts.epoch(0)))
    assert numbers(parts.epoch(3, skip=20)) == numbers(parts.epoch(0))[20:]


def test_a_model_may_write_into_what_it_is_given() -> None:
    parts = parts_of(as_data(rows(4)), 0.3, 0)
    for batch in parts.epoch(0):
        batch.args[0].fill_(-1)
    assert -1 not in numbers(parts.epoch(0))


@pytest.mark.parametrize(
    ("count", "share", "out"), [(2, 0.1, 1), (2, 0.99, 1), (1000, 0.5, MOST_HELD_OUT), (40, 0.1, 4)]
)
def test_how_many(count: int, share: float, out: int) -> None:
    assert len(parts_of(as_data(rows(count)), share, 0).held_out) == out


def test_too_few() -> None:
    with pytest.raises(DataError) as error:
        parts_of(as_data(rows(1)), 0.1, 0)
    assert str(error.value) == (
        "a list of 1 batch is one batch, and healing is judged on examples that it does not learn from. Give two "
        "batches or more, for example of a smaller batch size."
    )
    with pytest.raises(DataError, match=r"^a list of 3 batches: 2 batches are left to learn from, for 4 processes\."):
        parts_of(as_data(rows(3)), 0.1, 0, processes=4)
