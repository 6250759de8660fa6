"""Writing in place: into the caller's tensors, into a cache that was given for it, under a skip, into what is kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from auditing import naive_again
from auditing.written import Lambda, X, kinds
from identikit import Finding, audit


def linear() -> nn.Linear:
    return nn.Linear(8, 8)


class Cache:
    """What a library keeps keys in: an object with tensors for attributes."""

    def __init__(self) -> None:
        self.keys = torch.zeros(4, 8)


def test_a_cache_belongs_to_its_object() -> None:
    def forward(self: Any, x: torch.Tensor, cache: Cache) -> torch.Tensor:
        cache.keys.mul_(0.5).copy_(x)
        return self.fc(x) @ cache.keys.mT

    assert kinds(Lambda(forward, fc=linear()), (X, Cache())) == []


def test_a_tensor_that_is_filled_may_be_given_for_that() -> None:
    def forward(self: Any, x: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        keys.index_copy_(0, torch.arange(4), self.k(x).detach())
        return self.fc(x) @ keys.mT

    model = Lambda(forward, fc=linear(), k=linear().requires_grad_(False))
    assert list(audit(model, (X, torch.zeros(6, 8)))) == [
        Finding(
            "edited input",
            "",
            "note",
            "Lambda writes in place (=) into a tensor that it was given: the caller's data is replaced.",
            "In Lambda write into a copy: x = x.clone(). Nothing, if it is given to be written.",
        )
    ]


def test_out_is_named_as_it_is_written() -> None:
    def forward(self: Any, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        torch.mul(x, 2, out=out)
        return self.fc(x)

    (found,) = audit(Lambda(forward, fc=linear()), (X, torch.zeros(4, 8)))
    assert (found.level, found.kind) == ("note", "edited input")
    assert "writes in place (mul(out=)) into" in found.message
    assert found.fix.startswith("In Lambda call mul without out=, which makes a new value.")


def test_no_function_is_advised_that_torch_does_not_have() -> None:
    (found,) = audit(Lambda(lambda m, x: m.fc(x.uniform_()), fc=linear()), X)
    assert found.fix == "In Lambda write into a copy: x = x.clone()."
    (found,) = audit(Lambda(lambda m, x: m.fc(x.relu_()), fc=linear()), X)
    assert found.fix == "In Lambda use relu, which makes a new value, instead of relu_."


def test_masked_fill_under_a_skip() -> None:
    branch = Lambda(lambda m, x: m.fc(x.masked_fill_(x < 0, 0.0)), fc=linear())
    model = nn.Sequential(linear(), naive_again.Skip(branch))
    assert kinds(model, X) == [("note", "edited skip", "1.branch")]


def test_a_cache_that_a_branch_fills_is_no_skip() -> None:
    def cached(self: Any, x: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        keys.copy_(self.k(x))
        return x @ keys.mT

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        keys = torch.zeros(4, 8)
        return self.inner(x, keys) + keys.sum()

    assert kinds(Lambda(forward, inner=Lambda(cached, k=linear())), X) == []


def test_what_a_dropout_returned_may_be_edited() -> None:
    def forward(self: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.drop(self.fc(x))
        h += 1
        return self.head(h), h

    assert kinds(Lambda(forward, fc=linear(), drop=nn.Dropout(0.1), head=linear()), X) == []


def test_a_result_that_only_python_reads_is_used() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        if self.act(h).mean().item() > 9:
            raise ValueError("too large")
        return h

    assert kinds(Lambda(forward, fc=linear(), act=nn.ReLU()), X) == []


def test_an_empty_sequential_that_is_called() -> None:
    assert kinds(Lambda(lambda m, x: m.fc(m.skip(x)), fc=linear(), skip=nn.Sequential()), X) == []
