"""A batch: read from what users have, moved, cut, copied, fingerprinted."""

from __future__ import annotations

from collections import UserDict, namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from identikit.batches import Batch, as_batch, as_inputs, fingerprint, map_tensors, nth, tensors_of
from identikit.errors import DataError


def test_reads_what_users_have() -> None:
    x, y = torch.ones(3, 2), torch.tensor([0, 1, 2])
    assert as_batch(x).examples == 3
    assert as_batch((x, y)).target is y
    named = as_batch({"x": x, "labels": y})
    assert named.target is y
    assert set(named.kwargs) == {"x", "labels"}
    whole = Batch((x,), examples=3)
    assert as_batch(whole) is whole
    assert as_inputs((x, y)).args == (x, y)
    assert as_batch([x]).args == (x,)
    assert as_batch(([x, x], y)).args == (x, x)
    assert as_batch((({"x": x}), y)).kwargs == {"x": x}


def test_refuses_what_is_no_batch() -> None:
    with pytest.raises(DataError) as caught:
        as_batch((1, 2, 3))
    assert str(caught.value) == (
        "a batch is a tensor, a dict of keyword arguments or (inputs, target); found tuple of 3 elements. "
        "Wrap it: (inputs, target), or {'name': tensor} for several inputs."
    )
    with pytest.raises(DataError) as caught:
        as_batch(torch.tensor(1.0))
    assert str(caught.value) == (
        "this batch holds no tensor with a batch dimension; a batch starts with one (examples first)."
    )


def test_a_model_may_write_into_its_dict() -> None:
    features = {"x": torch.ones(2)}

    def model(given: dict[str, Any], more: list[Any]) -> None:
        given["y"] = 1
        more.append(2)

    batch = Batch((features,), {"more": [1]}, examples=2)
    batch.call(model)
    assert features == {"x": features["x"]}
    assert batch.kwargs == {"more": [1]}


def test_copied_shares_nothing() -> None:
    batch = Batch((torch.ones(2),), {"x": {"y": torch.ones(2)}}, target=torch.ones(2), examples=2)
    other = batch.copied()
    for value in tensors_of((other.args, other.kwargs, other.target)):
        value.add_(1)
    assert all(value.eq(1).all() for value in tensors_of((batch.args, batch.kwargs, batch.target)))


def test_to_changes_the_dtype_of_real_inputs_only() -> None:
    batch = Batch((torch.ones(2), torch.ones(2).long()), target=torch.ones(2), examples=2).to("cpu", torch.float64)
    assert [value.dtype for value in tensors_of(batch.args)] == [torch.float64, torch.int64]
    assert batch.target.dtype == torch.float32


def test_head_of_a_plain_batch() -> None:
    batch = Batch((torch.arange(4), torch.ones(7)), {"n": 3}, target=torch.arange(4), examples=4).head(3)
    assert batch.examples == 3
    assert batch.args[0].tolist() == [0, 1, 2]
    assert batch.args[1].shape == (7,)
    assert batch.target.tolist() == [0, 1, 2]


def test_head_of_pairs_keeps_both_rows_of_each() -> None:
    batch = Batch(({"ids": torch.arange(6)},), target=[1.0, 2.0, 3.0], examples=3).head(2)
    assert batch.args[0]["ids"].tolist() == [0, 1, 2, 3]
    assert batch.target == [1.0, 2.0]
    whole = Batch((torch.arange(2),), examples=2)
    assert whole.head(5) is whole


def test_fingerprint_sees_every_difference() -> None:
    x = torch.arange(4.0)
    same = {fingerprint(Batch((x.clone(),), examples=4)) for _ in range(3)}
    assert len(same) == 1
    others = [
        Batch((x + 1,), examples=4),
        Batch((x.double(),), examples=4),
        Batch((x.view(2, 2),), examples=4),
        Batch(kwargs={"x": x}, examples=4),
        Batch(kwargs={"y": x}, examples=4),
        Batch((x,), target=[1, 2], examples=4),
        Batch((x,), target=[1, 3], examples=4),
        Batch((x,), target=["a"], examples=4),
        Batch((x,), target=np.arange(2), examples=4),
        Batch((x,), target=np.arange(1, 3), examples=4),
        Batch((x.view(4, 1)[:, :0],), examples=4),
        Batch((torch.tensor([True, False]),), examples=2),
        Batch((x.bfloat16(),), examples=4),
        Batch((torch.tensor(3),), examples=1),
    ]
    assert len({*same, *(fingerprint(batch) for batch in others)}) == len(others) + 1


def test_fingerprint_does_not_see_addresses() -> None:
    assert fingerprint(Batch((torch.ones(1), object()), examples=1)) == fingerprint(
        Batch((torch.ones(1), object()), examples=1)
    )


def test_map_tensors_rebuilds_containers() -> None:
    from transformers.modeling_outputs import BaseModelOutput

    point = namedtuple("point", "x y")
    tree = (point(torch.ones(1), 2), [torch.ones(1)], UserDict(a=torch.ones(1)), BaseModelOutput(torch.ones(1)), "text")
    found = map_tensors(tree, lambda value: value + 1)
    assert found[0] == point(torch.tensor([2.0]), 2)
    assert found[2] == {"a": torch.tensor([2.0])}
    assert isinstance(found[3], BaseModelOutput)
    assert found[3].last_hidden_state.item() == 2
    assert len(tensors_of(tree)) == 4


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (0, "1st"),
        (1, "2nd"),
        (2, "3rd"),
        (3, "4th"),
        (10, "11th"),
        (11, "12th"),
        (12, "13th"),
        (20, "21st"),
        (110, "111th"),
        (121, "122nd"),
    ],
)
def test_batches_are_counted_from_the_first(index: int, said: str) -> None:
    assert nth(index) == said
