"""Every trained parameter without a gradient ends in a finding; a mistake only where nothing else can be meant."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from auditing import naive, naive_again
from auditing.written import Lambda, X, kinds
from identikit import audit


def linear(features: int = 8) -> nn.Linear:
    return nn.Linear(8, features)


def weight() -> nn.Parameter:
    return nn.Parameter(torch.randn(8, 8))


def routed(self: Any, x: torch.Tensor) -> torch.Tensor:
    chosen = self.router(x).argmax(-1).tolist()
    return torch.stack([self.head(row) * number for row, number in zip(x, chosen, strict=True)])


def matched(self: Any, x: torch.Tensor) -> torch.Tensor:
    order = self.router(x).detach().numpy().argsort(0)[:, 0].copy()
    return self.head(x)[torch.as_tensor(order)]


def picked(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.head(x * self.router(x).max(1)[1][:, None])


def kept(self: Any, x: torch.Tensor) -> torch.Tensor:
    chosen = self.router(x).topk(2).indices
    return self.head(torch.zeros_like(x).scatter(1, chosen, 1.0))


def taught(self: Any, x: torch.Tensor) -> torch.Tensor:
    made = self.student(x)
    with torch.no_grad():
        for ours, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            ours.data = 0.99 * ours.data + 0.01 * theirs.data
        wanted = self.teacher(x)
    return F.mse_loss(made, wanted)


def aside(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.pair(x)[0]


class _Silent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x @ weight

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return gradients[0], None


student = linear()
PAIR = Lambda(lambda m, x: (x @ m.a, x @ m.b), a=weight(), b=weight())

#: What is found, and in a piece of the message why.
FATES: dict[str, tuple[nn.Module, tuple[str, str, str], str]] = {
    "numbers of argmax": (
        Lambda(routed, router=linear(2), head=linear()), ("note", "no gradient", ""),
        '"router.weight" and "router.bias" get no gradient: Lambda takes numbers out of them, as item() does.',
    ),
    "an array": (
        Lambda(matched, router=linear(2), head=linear()), ("note", "no gradient", ""),
        '"router.weight" and "router.bias" get no gradient: Lambda takes numbers out of them, as item() does.',
    ),
    "item": (
        Lambda(lambda m, x: m.alpha.item() * m.fc(x), alpha=nn.Parameter(torch.ones(())), fc=linear()),
        ("note", "no gradient", ""),
        '"alpha" gets no gradient: Lambda takes numbers out of it, as item() does.',
    ),
    "the second result of max": (
        Lambda(picked, router=linear(), head=linear()), ("note", "no gradient", ""),
        '"router.weight" and "router.bias" take part in the output but get no gradient: max in Lambda has none.',
    ),
    "the indices of topk": (
        Lambda(kept, router=linear(), head=linear()), ("note", "no gradient", ""),
        '"router.weight" and "router.bias" take part in the output but get no gradient: topk in Lambda has none.',
    ),
    "a teacher that the forward writes": (
        Lambda(taught, student=student, teacher=copy.deepcopy(student)), ("note", "no gradient", ""),
        '"teacher.weight" and "teacher.bias" take part in the output but get no gradient: the forward itself writes '
        "them.",
    ),
    "a product that is overwritten": (
        naive_again.Overwriting(), ("mistake", "no gradient", ""),
        '"w1" gets no gradient: what Overwriting makes of it reaches no output.',
    ),
    "a product that is handed out": (
        Lambda(aside, pair=PAIR), ("note", "no gradient", "pair"),
        '"pair.b" gets no gradient: what "pair" makes of it reaches no output.',
    ),
    "a backward that gives none": (
        Lambda(lambda m, x: _Silent.apply(m.fc(x), m.w.clone()), fc=linear(), w=weight()), ("note", "no gradient", ""),
        '"w" gets no gradient: an operation between it and the output hands none on.',
    ),
    "a list of weights": (
        Lambda(lambda m, x: x @ m.list[0], list=nn.ParameterList([weight(), weight()])),
        ("note", "no gradient", "list"),
        '"list.1" gets no gradient: nothing reads it.',
    ),
    "a cut": (
        Lambda(lambda m, x: m.head(m.fc(x).detach()), fc=linear(), head=linear()), ("mistake", "no gradient", ""),
        '"fc.weight" and "fc.bias" take part in the output but get no gradient: detach in Lambda cuts it off.',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "expected", "message"), FATES.values(), ids=FATES)
def test_why_there_is_no_gradient(model: nn.Module, expected: tuple[str, str, str], message: str) -> None:
    x = X if message.count("Overwriting") == 0 else torch.randn(4, 50)
    found = audit(model, x)
    assert [(each.level, each.kind, each.module) for each in found] == [expected]
    assert found[0].message == message


EVERY: dict[str, tuple[nn.Module, torch.Tensor]] = {
    **{name: (model, X if not isinstance(model, naive_again.Overwriting) else torch.randn(4, 50))
       for name, (model, _, _) in FATES.items()},
    "an overwritten layer": (naive.Overwriting(), torch.randn(2, 4, 6, 6)),
    "a layer never called": (Lambda(lambda m, x: m.fc(x), fc=linear(), idle=linear()), X),
    "a holder of layers": (Lambda(lambda m, x: m.all[0](x), all=nn.ModuleList([linear(), linear()])), X),
}  # fmt: skip


@pytest.mark.parametrize(("model", "inputs"), EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_no_parameter_without_a_gradient_is_passed_over(model: nn.Module, inputs: Any, training: bool) -> None:
    """The law: after a backward of one's own, whatever has no gradient is named, or its layer is."""
    model = copy.deepcopy(model).train(training)
    model(inputs.clone()).sum().backward()
    said = audit(model, inputs)
    for name, parameter in model.named_parameters():
        owners = {name[: place.start()] for place in re.finditer(r"\.", name)}
        assert parameter.grad is not None or any(f'"{name}"' in each.message or each.module in owners for each in said)


def test_numbers_that_are_returned() -> None:
    found = kinds(Lambda(lambda m, x: m.fc(x).argmax(-1).tolist(), fc=linear()), X)
    assert found == [("note", "no gradient", "")]


class Slotted:
    """An output that keeps its tensor in a slot."""

    __slots__ = ("value",)

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


def test_an_output_with_slots() -> None:
    assert kinds(Lambda(lambda m, x: Slotted(m.fc(x)), fc=linear()), X) == []
