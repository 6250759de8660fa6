"""The loop sees every row once an epoch, never a batch of one, keeps the best average, and says when it diverges."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from identikit.errors import TableError
from identikit.nn.tabular_resnet import TabularResNet
from identikit.progress import Bar
from identikit.tabular.held_out import split
from identikit.tabular.training import History, Recipe, Rows, Trainer, automatic_batch_size, train

CPU = torch.device("cpu")


def rows(count: int = 40) -> Rows:
    numbers = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return Rows(numbers, None, numbers.sum(dim=1, keepdim=True))


def trainer(network: nn.Module | None = None, **recipe: Any) -> Trainer[nn.Module]:
    chosen = {"learning_rate": 1e-2, "weight_decay": 0.0, "batch_size": 8, "max_epochs": 30, "patience": 5, **recipe}
    network = network or TabularResNet(3, 1, width=8, blocks=1)
    return Trainer(network, nn.functional.mse_loss, Recipe(**chosen), CPU)


def trained(held_out: Rows | None = None, **recipe: Any) -> tuple[Trainer[nn.Module], History]:
    found = trainer(**recipe)
    return found, train(found, rows(), held_out, torch.Generator().manual_seed(0), Bar(None, None))


class Counting(nn.Module):
    """Remembers the rows of each batch; refuses one that batch norm would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.seen = nn.Linear(3, 1), nn.BatchNorm1d(1), []

    def forward(self, numbers: torch.Tensor, codes: None) -> torch.Tensor:
        self.seen.append(numbers)
        return self.norm(self.linear(numbers))


@pytest.mark.parametrize(
    ("count", "size", "batches"),
    [(2, 2, [2]), (3, 2, [3]), (9, 8, [9]), (16, 8, [8, 8]), (17, 8, [9, 8]), (23, 8, [12, 11])],
)
def test_every_row_is_seen_once_and_no_batch_is_of_one(count: int, size: int, batches: list[int]) -> None:
    network = Counting()
    found = trainer(network, batch_size=size)
    found.epoch(rows(count), torch.Generator().manual_seed(0))
    seen = found.network.seen
    assert [len(each) for each in seen] == batches
    assert torch.equal(torch.cat(seen).sort(dim=0).values, rows(count).numbers.sort(dim=0).values)


def test_the_network_handed_in_is_not_trained() -> None:
    network = TabularResNet(3, 1, width=8, blocks=1)
    before = copy.deepcopy(network.state_dict())
    trainer(network).epoch(rows(), torch.Generator())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_average_follows_the_weights() -> None:
    found = trainer()
    start = found.averaged.head.linear.weight.clone()
    found.epoch(rows(8), torch.Generator())
    weight = found.network.head.linear.weight
    torch.testing.assert_close(found.averaged.head.linear.weight, start + 0.9 * (weight - start))
    assert int(found.averaged.head.norm.num_batches_tracked) == 1


def test_it_learns() -> None:
    _, history = trained()
    assert history.training[-1] < 0.5 * history.training[0]
    assert (history.best, history.held_out) == (30, [])


def test_it_stops_and_the_best_is_kept() -> None:
    held_out = Rows(rows(20).numbers, None, torch.randn(20, 1, generator=torch.Generator().manual_seed(3)))
    found, history = trained(held_out)
    assert len(history.held_out) == history.best + 5 < 30
    assert history.held_out[history.best - 1] == min(history.held_out)
    assert found.judged(held_out) == min(history.held_out)


def test_diverging_is_an_error() -> None:
    with pytest.raises(TableError) as caught:
        trained(learning_rate=1e30)
    assert str(caught.value).startswith("the loss on the rows trained on became ")
    assert str(caught.value).endswith(" steps. Lower learning_rate (1e+30).")
    far = Rows(rows().numbers, None, torch.full((40, 1), 1e30))
    with pytest.raises(TableError) as caught:
        trained(far)
    assert str(caught.value) == "the loss on the rows held out became inf after 5 steps. Lower learning_rate (0.01)."


@pytest.mark.parametrize(
    ("count", "size"), [(1, 32), (350, 32), (5_000, 64), (13_000, 256), (50_000, 1024), (10**6, 1024)]
)
def test_automatic_batch_size(count: int, size: int) -> None:
    assert automatic_batch_size(count) == size


def test_each_class_gives_its_share_and_keeps_a_row() -> None:
    classes = np.array([0] * 50 + [1] * 30 + [2])
    kept, held = split(81, 0.2, np.random.RandomState(0), classes)
    assert np.bincount(classes[held]).tolist() == [10, 6]
    assert sorted([*kept, *held]) == list(range(81))


def test_too_few_rows_are_not_held_out() -> None:
    kept, held = split(70, 0.1, np.random.RandomState(0))
    assert (len(kept), len(held)) == (70, 0)
    assert len(split(80, 0.1, np.random.RandomState(0))[1]) == 8


def test_going_on_leaves_the_training_before_as_it_was() -> None:
    before = trainer()
    before.epoch(rows(), torch.Generator().manual_seed(0))
    weights = copy.deepcopy(before.network.state_dict())
    after = before.goes_on(dataclasses.replace(before.recipe, learning_rate=0.5, weight_decay=0.25), CPU)
    after.epoch(rows(), torch.Generator().manual_seed(1))
    assert all(torch.equal(value, weights[name]) for name, value in before.network.state_dict().items())
    assert [(group["lr"], group["weight_decay"]) for group in after.optimizer.param_groups] == [(0.5, 0.25)]
    assert (before.steps, after.steps) == (5, 10)


def test_going_on_by_the_same_recipe_is_training_on() -> None:
    one = trainer()
    two = copy.deepcopy(one)
    for seed in range(3):
        two = two.goes_on(two.recipe, CPU)
        for each in (one, two):
            torch.manual_seed(seed)
            each.epoch(rows(), torch.Generator().manual_seed(seed))
    pairs = zip(one.averaged.state_dict().values(), two.averaged.state_dict().values(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)
