"""Additions that broadcast: a mistake where a residual is meant, a note where two heads meet, else nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from auditing.written import Lambda, X, kinds

TOKENS = torch.randn(2, 5, 8)
PICTURES = torch.randn(2, 4, 8, 8)
NOTE = [("note", "broadcast", "")]
MISTAKE = [("mistake", "broadcast", "")]


def softmax(self: Any, x: torch.Tensor) -> torch.Tensor:
    h = self.fc(x)
    h -= h.max(-1, keepdim=True).values
    return h.exp()


def last_value(self: Any, x: torch.Tensor) -> torch.Tensor:
    last = x[:, -1:].detach()
    return self.fc(x - last) + last


def normalised(self: Any, x: torch.Tensor) -> torch.Tensor:
    mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    return self.fc((x - mean) / deviation) * deviation + mean


def dueling(self: Any, x: torch.Tensor) -> torch.Tensor:
    advantages = self.fc(x)
    return self.one(x) + advantages - advantages.mean(1, keepdim=True)


def unions(self: Any, boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    one, two = self.fc(boxes).prod(1), others.prod(1)
    return one[:, None] + two


def pooled(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.head(F.max_pool2d(self.wide(x), 2) + F.max_pool2d(self.narrow(x), 2))


CASES: dict[str, tuple[nn.Module, Any, list[tuple[str, str, str]]]] = {
    "a softmax in place": (Lambda(softmax, fc=nn.Linear(8, 5)), X, []),
    "the last value added back": (Lambda(last_value, fc=nn.Linear(8, 3)), X, []),
    "the mean added back": (Lambda(normalised, fc=nn.Linear(8, 3)), X, []),
    "the mean of channels added back": (
        Lambda(lambda m, x: m.fc(x - x.mean(1, keepdim=True)) + x.mean(1, keepdim=True), fc=nn.Conv2d(4, 4, 1)),
        PICTURES,
        [],
    ),
    "areas of every pair": (Lambda(unions, fc=nn.Linear(4, 4)), (torch.rand(3, 4), torch.rand(5, 4)), []),
    "a view as a column": (
        Lambda(lambda m, x: m.fc(x).sum(-1).view(-1, 1) + x.sum(-1), fc=nn.Linear(8, 8)),
        X,
        [],
    ),
    "a value and its advantages": (Lambda(dueling, fc=nn.Linear(8, 4), one=nn.Linear(8, 1)), X, NOTE),
    "what is subtracted": (
        Lambda(lambda m, x: torch.sigmoid(m.one(x) - m.fc(x)), fc=nn.Linear(8, 4), one=nn.Linear(8, 1)),
        X,
        NOTE,
    ),
    "scores of pairs and a bias": (
        Lambda(lambda m, x: m.fc(x) @ x.mT + m.one(x), fc=nn.Linear(8, 8), one=nn.Linear(8, 1)),
        TOKENS,
        NOTE,
    ),
    "a sum that a layer takes": (
        Lambda(
            lambda m, x: m.head(F.relu(m.fc(x) + m.one(x))),
            fc=nn.Linear(8, 4), one=nn.Linear(8, 1), head=nn.Linear(4, 2),
        ),
        X,
        MISTAKE,
    ),
    "a projection of x added to x": (Lambda(lambda m, x: x + m.one(x), one=nn.Linear(8, 1)), X, MISTAKE),
    "a recurrent layer of 1 added to 8": (
        Lambda(lambda m, x: x + m.one(x)[0], one=nn.GRU(8, 1, batch_first=True)),
        TOKENS,
        MISTAKE,
    ),
    "embeddings of 1 and 8": (
        Lambda(
            lambda m, x: m.head(m.fc(x) + m.one(x)),
            fc=nn.Embedding(9, 8), one=nn.Embedding(9, 1), head=nn.Linear(8, 2),
        ),
        torch.randint(0, 9, (2, 3)),
        MISTAKE,
    ),
    "pooled channels of 1 and 16": (
        Lambda(pooled, wide=nn.Conv2d(4, 16, 1), narrow=nn.Conv2d(4, 1, 1), head=nn.Conv2d(16, 2, 1)),
        PICTURES,
        MISTAKE,
    ),
    "a column plus a row": (
        Lambda(lambda m, x: m.one(x) - x.mean(1), one=nn.Linear(8, 1)),
        X,
        MISTAKE,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "inputs", "expected"), CASES.values(), ids=CASES)
def test_what_is_meant_and_what_is_not(model: nn.Module, inputs: Any, expected: list[tuple[str, str, str]]) -> None:
    assert kinds(model, inputs) == expected
