"""Some examples of a batch: every tensor and the target cut alike; where that is not plain, the batch stays whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from identikit.batches import Batch, as_batch
from identikit.pruning.rows import can_be_cut, cut

TOKENS = {"input_ids": torch.arange(12).view(4, 3), "attention_mask": torch.ones(4, 3)}


def test_inputs_and_target_are_cut_alike() -> None:
    batch = as_batch((TOKENS, torch.arange(4)))
    part = cut(batch, [1, 3])
    assert part.examples == 2
    assert part.kwargs["input_ids"].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert part.kwargs["attention_mask"].shape == (2, 3)
    assert part.target.tolist() == [1, 3]


@pytest.mark.parametrize("target", [[0.5, 0.25], np.array([0.5, 0.25]), torch.tensor([0.5, 0.25])])
def test_pairs_stay_together(target: Any) -> None:
    """Two rows are one example: a sentence and the one that it is compared with; the target has one."""
    part = cut(Batch(kwargs=TOKENS, target=target, examples=2), [1])
    assert part.kwargs["input_ids"].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert list(part.target) == [0.25]
    rows = cut(Batch(kwargs=TOKENS, target=torch.arange(4), examples=2), [1])
    assert rows.target.tolist() == [2, 3]


def test_the_parts_are_the_whole() -> None:
    batch = as_batch((torch.randn(7, 2), torch.randn(7)))
    parts = [cut(batch, numbers) for numbers in ([0, 2, 5], [1, 3, 4, 6])]
    joined = torch.cat([part.args[0] for part in parts])
    assert torch.equal(joined, batch.args[0][[0, 2, 5, 1, 3, 4, 6]])


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (torch.ones(4, 3), True),
        (torch.ones(4, 4), True),  # alone it is four examples of four numbers
        (TOKENS, True),
        ({**TOKENS, "scale": torch.tensor(2.0), "mode": "fast", "use_cache": False, "none": None}, True),
        ({"input_ids": torch.ones(4, 4), "attention_mask": torch.ones(4, 4)}, True),
        ((TOKENS, ["a", "b", "c", "d"]), True),
        ((torch.ones(4, 3), None), True),
        ({"x": torch.ones(4, 3), "edges": torch.ones(2, 9)}, False),
        ({"x": torch.ones(4, 3), "adjacency": torch.ones(4, 4)}, False),
        ({"x": torch.ones(4, 3), "positions": torch.ones(1, 3)}, False),
        ({"x": torch.ones(4, 3), "texts": ["a", "b", "c", "d"]}, False),
        ({"x": torch.ones(4, 3), "anything": object()}, False),
        ({"x": torch.ones(4, 3).to_sparse()}, False),
        ((torch.ones(4, 3), torch.ones(5)), False),
        ((torch.ones(4, 3), {"boxes": torch.ones(4)}), False),
        ((torch.ones(4, 3), torch.tensor(1.0)), False),
    ],
)
def test_what_can_be_cut(raw: Any, plain: bool) -> None:
    assert can_be_cut(as_batch(raw)) is plain
