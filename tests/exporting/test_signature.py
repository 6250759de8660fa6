"""Names of what goes in and comes out: the forward's own."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from identikit.batches import Batch, as_batch, as_inputs
from identikit.exporting.signature import flat_forward, signature_of, without_target
from identikit.exporting.sizes import padded, resized

X = torch.ones(2, 3)


def names(forward: Any, batch: Batch) -> tuple[list[str], list[str]]:
    found = signature_of(forward, batch, batch.call(forward))
    return list(found.inputs), list(found.outputs)


def test_positions_have_the_names_of_the_parameters() -> None:
    assert names(lambda pixels, mask=None: pixels * 2, as_inputs((X, X.clone()))) == (["pixels", "mask"], ["output"])
    assert names(lambda *parts: parts[0] + parts[1], as_inputs((X, X.clone())))[0] == ["parts_0", "parts_1"]


def test_nested_inputs_and_outputs() -> None:
    batch = as_inputs(({"input_ids": X, "mask": X.clone()}, [X + 1, X + 2]))
    inputs, outputs = names(lambda features, more: {"a": more[0] + 1, "b": [more[1] * 2, X * 3]}, batch)
    assert inputs == ["input_ids", "mask", "more_0", "more_1"]
    assert outputs == ["a", "b_0", "b_1"]
    assert names(lambda x: (x + 1, x + 2), as_inputs(X))[1] == ["output_0", "output_1"]


def test_an_input_that_is_handed_back_is_no_output() -> None:
    assert names(lambda features: features | {"mean": features["x"].mean()}, as_inputs(({"x": X},))) == (
        ["x"],
        ["mean"],
    )


def test_an_output_with_the_name_of_an_input() -> None:
    assert names(lambda x: {"x": x + 1}, as_inputs(X)) == (["x"], ["x_out"])


def test_switches_are_part_of_the_graph() -> None:
    def forward(x: torch.Tensor, twice: bool = False, none: Any = None) -> torch.Tensor:
        return x * 2 if twice and none is None else x + 0

    batch = as_inputs({"x": X, "twice": True, "none": None})
    signature = signature_of(forward, batch, batch.call(forward))
    flat = flat_forward(forward, signature)
    assert list(inspect.signature(flat).parameters) == ["x"]
    assert torch.equal(flat(x=X + 1), (X + 1) * 2)
    assert torch.equal(flat(X + 1), (X + 1) * 2)


def test_labels_are_left_out_where_they_may_be() -> None:
    batch = as_batch({"x": X, "labels": X.clone()})
    assert list(without_target(lambda x, labels=None: x, batch).kwargs) == ["x"]
    assert list(without_target(lambda x, labels: x, batch).kwargs) == ["x", "labels"]
    assert list(without_target(lambda x, **more: x, batch).kwargs) == ["x"]


def test_other_sizes() -> None:
    tensors = {"ids": torch.tensor([[1, 2, 3], [4, 5, 6]]), "mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}
    places = {("ids", 0): 3, ("mask", 0): 3, ("ids", 1): 4, ("mask", 1): 4}
    larger = resized(tensors, places)
    assert larger["ids"].tolist() == [[1, 2, 3, 3], [4, 5, 6, 6], [1, 2, 3, 3]]
    assert larger["mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]
    rows, lengths = [("ids", 0), ("mask", 0)], [("ids", 1), ("mask", 1)]
    assert padded(larger, rows, lengths)["mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert torch.equal(padded(larger, rows, lengths)["ids"], larger["ids"])
    assert tensors["mask"].tolist() == [[1, 1, 1], [1, 1, 0]], "the example itself is left alone"
