"""Two readings of the data are equal, or the second one says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from identikit.errors import DataError
from identikit.sources import Data, as_data

X = torch.arange(40.0).view(20, 2)


def differs(data: Data) -> str:
    """The message of the second reading; the first one is fine."""
    for _ in data:
        pass
    with pytest.raises(DataError) as caught:
        for _ in data:
            pass
    return str(caught.value)


def in_turn(*readings: list[Any]) -> Callable[[], Iterable[Any]]:
    """A source that reads differently every time."""
    left = iter(readings)
    return lambda: next(left)


SHUFFLES = "it shuffles or draws at random. Use DataLoader(..., shuffle=False), or list(loader) to keep one reading."


def test_a_loader_that_shuffles() -> None:
    data = as_data(DataLoader(TensorDataset(X), batch_size=4, shuffle=True, collate_fn=lambda rows: rows[0][0]))
    assert differs(data) == f"this DataLoader gave another 1st batch than at the first reading: {SHUFFLES}"


def test_readings_of_different_length() -> None:
    shorter = Data(in_turn([X, X], [X]), name="mine")
    assert differs(shorter) == f"mine ended after 1 batch; an earlier reading had 2: {SHUFFLES}"
    nothing = Data(in_turn([X], []), name="mine")
    assert differs(nothing) == f"mine ended after 0 batches; an earlier reading had 1: {SHUFFLES}"
    longer = Data(in_turn([X], [X, X]), name="mine")
    assert differs(longer) == f"mine goes on after 1 batch, where the first reading ended: {SHUFFLES}"


def test_a_list_that_was_changed_in_the_meantime() -> None:
    batches = [X.clone()]
    data = as_data(batches)
    list(data)
    batches[0].add_(1)
    with pytest.raises(DataError) as caught:
        list(data)
    assert str(caught.value) == (
        "a list of 1 batch gave another 1st batch than at the first reading: "
        "its tensors were changed in the meantime. Hand over copies."
    )


def test_a_model_that_works_in_place_changes_no_data() -> None:
    batches = [-X]
    data = as_data(batches)
    for _ in range(2):
        for batch in data:
            batch.call(nn.ReLU(inplace=True))
    assert torch.equal(batches[0], -X)


def test_an_unfinished_reading_counts_too() -> None:
    data = Data(in_turn([X, X], [X, X + 1], [X, X + 1]), name="mine")
    assert next(iter(data)).examples == 20
    assert (data.examples, len(data)) == (40, 2)
    assert len(list(data)) == 2
    with pytest.raises(DataError, match="gave another 1st batch"):
        list(_again(Data(in_turn([X], [X + 1]), name="mine")))


def _again(data: Data) -> Data:
    """`data`, one batch of which was read."""
    next(iter(data))
    return data


def test_fingerprint_is_of_all_batches_in_order() -> None:
    prints = {as_data(batches).fingerprint for batches in ([X, X + 1], [X + 1, X], [X], [X, X + 1])}
    assert len(prints) == 3
    assert as_data(DataLoader(TensorDataset(X), batch_size=20)).fingerprint


def test_length_is_known_when_it_can_be() -> None:
    data = as_data([X, X], limit=30)
    with pytest.raises(TypeError, match="is known after the first reading"):
        len(data)
    assert repr(data) == "Data('a list of 2 batches', not read yet)"
    assert data.examples == 30
    assert len(data) == 2
    assert repr(data) == "Data('a list of 2 batches', 2 batches, 30 examples)"


def test_memory_holds_no_batches_of_a_loader() -> None:
    import gc
    import weakref

    kept: list[weakref.ref[torch.Tensor]] = []

    class Loader:
        def __iter__(self) -> Any:
            for _ in range(3):
                batch = torch.ones(2)
                kept.append(weakref.ref(batch))
                yield batch

    data = as_data(Loader())
    assert data.examples == 6
    gc.collect()
    assert [each() for each in kept] == [None] * 3
