"""Stacking: each tensor in its own batch dimension, joined and split again; what does not fit is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from identikit.replaying.errors import NotReplayableError
from identikit.replaying.stacking import Alike, Member, batch_dims, joined, split


def tensor(*size: int) -> torch.Tensor:
    return torch.randn(size)


def test_the_batch_lies_where_a_tensor_grows() -> None:
    one = ((tensor(1, 5, 4), {"state": tensor(2, 1, 4)}), tensor(3, 5), None, 1.5, "words")
    two = ((tensor(2, 5, 4), {"state": tensor(2, 2, 4)}), tensor(3, 5), None, 1.5, "words")
    assert batch_dims(one, two, "") == {(0, 0): 0, (0, 1, "state"): 1, (1,): None}
    folded = batch_dims([tensor(4, 5)], [tensor(8, 5)], "")  # heads and examples in one dimension
    assert folded == {(0,): 0}


@pytest.mark.parametrize(
    ("one", "two", "says"),
    [
        ([tensor(1, 5)], [tensor(2, 5), tensor(1)], "have another form with another number of examples"),
        ([tensor(1, 5)], [tensor(2, 6)], "grows by something else than the examples"),
        ([tensor(1, 5)], [tensor(3, 5)], "grows by something else than the examples"),
        ([tensor(2, 5)], [tensor(1, 5)], "grows by something else than the examples"),
        ([tensor(5)], [tensor(1, 5)], "form depends on the examples"),
        ([tensor(1, 5).to_sparse()], [tensor(2, 5).to_sparse()], "form depends on the examples"),
        ([1.5], [2.5], "a value that changes with the number of examples"),
        ([3], [3.0], "a value that changes with the number of examples"),
        ([None], [tensor(2)], "a value that changes with the number of examples"),
        ([True], [False], "a value that changes with the number of examples"),
    ],
)
def test_what_has_no_batch_dimension(one: Any, two: Any, says: str) -> None:
    with pytest.raises(NotReplayableError, match=f"^what it takes .*{says}$"):
        batch_dims(one, two, "what it takes")


def member(rows: int, bias: torch.Tensor, stream: torch.Tensor | None = None) -> Member:
    kwargs = {"state": tensor(2, rows, 4), "bias": bias, "flag": True}
    return Member((tensor(rows, 5),), kwargs, {} if stream is None else {(0, 0): stream}, rows)


DIMS = {(0, 0): 0, (1, "state"): 1, (1, "bias"): None}


def test_joined_and_split_again() -> None:
    bias, stream = tensor(5), tensor(3, 5)
    members = [member(2, bias), member(3, bias, stream), member(1, bias)]
    args, kwargs = joined(members, DIMS, copy=False)
    assert torch.equal(args[0], torch.cat([members[0].args[0], stream, members[2].args[0]]))
    assert torch.equal(kwargs["state"], torch.cat([each.kwargs["state"] for each in members], 1))
    assert kwargs["bias"] is bias
    assert kwargs["flag"] is True
    output = {"x": args[0] * 2, "state": kwargs["state"] + 1, "bias": bias, "name": "layer"}
    parts = split(output, members, {("x",): 0, ("state",): 1, ("bias",): None})
    assert torch.equal(parts[1]["x"], stream * 2)
    assert [part["state"].shape[1] for part in parts] == [2, 3, 1]
    assert all(part["bias"] is bias and part["name"] == "layer" for part in parts)
    assert torch.equal(parts[2]["state"], members[2].kwargs["state"] + 1)


def test_one_alone_is_handed_on_as_it_is() -> None:
    alone = member(2, tensor(5))
    args, _ = joined([alone], DIMS, copy=False)
    assert args[0] is alone.args[0]
    assert split(args, [alone], {(0,): 0}) == [args]
    copied, _ = joined([alone], DIMS, copy=True)
    assert copied[0] is not alone.args[0]
    assert torch.equal(copied[0], alone.args[0])


def test_an_output_of_another_size() -> None:
    members = [member(2, tensor(5)), member(1, tensor(5))]
    with pytest.raises(NotReplayableError, match="another size than its examples together"):
        split([tensor(4, 5)], members, {(0,): 0})


def test_a_stream_without_examples() -> None:
    """May be stacked where it is the same for all, and only there."""
    queries, dims = tensor(4, 5), {(0, 0): None}
    same = [Member((queries,), {}, {(0, 0): queries.clone()}, 1), Member((queries,), {}, {}, 1)]
    assert torch.equal(joined(same, dims, copy=False)[0][0], queries)
    other = [*same, Member((queries,), {}, {(0, 0): queries + 1}, 1)]
    with pytest.raises(NotReplayableError, match=r"^a stream that holds no examples differs from branch to branch$"):
        joined(other, dims, copy=False)


def test_which_calls_are_alike() -> None:
    alike, x, bias = Alike(), tensor(2, 5), tensor(5)
    dims = {(0,): 0, (1,): None}
    assert alike.calls([x, bias, 1.0], [tensor(3, 5), bias.clone(), 1.0], dims)
    for other in (
        [x, bias + 1, 1.0],
        [x, bias, 2.0],
        [x, bias, 1],
        [x, bias],
        [tensor(2, 6), bias, 1.0],
        [x.double(), bias, 1.0],
        [x, bias[None], 1.0],
        [x, None, 1.0],
        [x, bias, object()],
    ):
        assert not alike.calls([x, bias, 1.0], other, dims)
