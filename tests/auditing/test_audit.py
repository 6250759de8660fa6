"""An audit leaves the model as it was, takes any inputs and outputs, and tells what is meant from what is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from auditing import naive
from auditing.written import Lambda, X, kinds
from identikit import Finding, audit
from identikit.errors import InputsError
from laws.snapshot import Snapshot


class Eventful(nn.Module):
    """Writes wherever a forward can: buffers, attributes, random state, its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 2)
        self.register_buffer("count", torch.zeros(()))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        x.mul_(2)
        x = self.drop(self.norm(x)) + torch.rand(())
        self.seen.append(x)
        return self.fc(x)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_as_it_was(training: bool) -> None:
    model, x = Eventful().train(training), X.clone()
    model.drop.train(not training)
    model.fc(x).sum().backward()
    before, state = Snapshot(model), torch.get_rng_state()
    found = audit(model, x)
    assert before.changes(model) == []
    assert (model.training, model.drop.training, model.norm.training) == (training, not training, training)
    assert model.seen == []
    assert float(model.count) == 0
    assert torch.equal(x, X)
    assert torch.equal(torch.get_rng_state(), state)
    assert [finding.kind for finding in found.mistakes] == ["edited input"]
    assert audit(model, x) == found


def test_a_forward_that_fails_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(Eventful(), nn.Linear(3, 3))
    before = Snapshot(model)
    with pytest.raises(InputsError):
        audit(model, X)
    assert before.changes(model) == []
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_whatever_the_caller_s_mode_is(context: Callable[[], Any]) -> None:
    model = naive.Overwriting()
    with context():
        found = audit(model, torch.randn(2, 4, 6, 6))
    assert [finding.kind for finding in found] == ["dead branch"]


@dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]


def test_inputs_and_outputs_of_any_form() -> None:
    layers = {"embedding": nn.Embedding(9, 8), "head": nn.Linear(8, 2), "unused": nn.Linear(8, 8)}

    def forward(self: Any, ids: torch.Tensor, scale: float = 1.0) -> Output:
        hidden = self.embedding(ids)
        return Output(self.head(hidden * scale), (hidden, hidden[:, 0]))

    model, ids = Lambda(forward, **layers), torch.randint(0, 9, (2, 3))
    expected = [("note", "alias", "embedding"), ("note", "never called", "unused")]
    for inputs in (ids, (ids, 2.0), {"ids": ids, "scale": 2.0}):
        assert kinds(model, inputs) == expected
    assert audit(model, ids)[0].message == (
        'output "hidden[0]" and output "hidden[1]" of Lambda are the same memory (from "embedding").'
    )


def test_halves_of_one_memory_are_no_alias() -> None:
    assert kinds(Lambda(lambda m, x: m.fc(x).chunk(2, dim=-1), fc=nn.Linear(8, 8)), X) == []


LEGITIMATE: dict[str, tuple[nn.Module, Any]] = {
    "a mask on attention": (
        Lambda(lambda m, x, keep: (m.q(x) @ m.k(x).mT + (1 - keep[:, None]) * -1e4).softmax(-1) @ x,
               q=nn.Linear(8, 8), k=nn.Linear(8, 8)),
        (torch.randn(2, 5, 8), torch.ones(2, 5)),
    ),
    "position embeddings": (
        Lambda(lambda m, x: m.fc(x) + m.at(torch.arange(5))[None], fc=nn.Linear(8, 8), at=nn.Embedding(5, 8)),
        torch.randn(2, 5, 8),
    ),
    "a squeeze-excite gate": (
        Lambda(lambda m, x: x * torch.sigmoid(m.fc(x.mean((2, 3), keepdim=True))), fc=nn.Conv2d(8, 8, 1)),
        torch.randn(2, 8, 4, 4),
    ),
    "a spatial gate": (
        Lambda(lambda m, x: x * torch.sigmoid(m.fc(x)), fc=nn.Conv2d(8, 1, 1)),
        torch.randn(2, 8, 4, 4),
    ),
    "a norm by hand": (
        Lambda(lambda m, x: (lambda h: h - h.mean(-1, keepdim=True))(m.fc(x)), fc=nn.Linear(8, 8)),
        X,
    ),
    "a time embedding on pictures": (
        Lambda(lambda m, x, t: m.conv(x) + m.time(t)[:, :, None, None], conv=nn.Conv2d(3, 8, 1), time=nn.Linear(4, 8)),
        (torch.randn(2, 3, 4, 4), torch.randn(2, 4)),
    ),
    "every pair": (
        Lambda(lambda m, x: m.a(x)[:, :, None] + m.b(x)[:, None], a=nn.Linear(8, 8), b=nn.Linear(8, 8)),
        torch.randn(2, 5, 8),
    ),
    "one feature expanded on purpose": (
        Lambda(lambda m, x: m.a(x) + m.v(x).expand(-1, 3), a=nn.Linear(8, 3), v=nn.Linear(8, 1)),
        X,
    ),
    "ReLU and a new sum": (Lambda(lambda m, x: x + F.relu_(m.fc(x)), fc=nn.Linear(8, 8)), X),
    "+= on a linear layer's output": (
        Lambda(lambda m, x: m.fc(x).add_(x), fc=nn.Linear(8, 8)),
        X,
    ),
    "a loss left in an attribute": (
        Lambda(lambda m, x: (setattr(m, "loss", m.aux(x).sum()), m.fc(x))[1], fc=nn.Linear(8, 8), aux=nn.Linear(8, 8)),
        X,
    ),
    "an auxiliary head for training": (
        Lambda(lambda m, x: (m.fc(x), m.aux(x)) if m.training else m.fc(x), fc=nn.Linear(8, 8), aux=nn.Linear(8, 8)),
        X,
    ),
    "a frozen layer behind detach": (
        Lambda(lambda m, x: m.fc(m.cold(x).detach()), fc=nn.Linear(8, 8), cold=nn.Linear(8, 8).requires_grad_(False)),
        X,
    ),
    "a layer without bias before a norm": (nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8)), X),
    "a norm beside a skip": (
        Lambda(lambda m, x: (lambda h: h + m.norm(h))(m.fc(x)), fc=nn.Linear(8, 8), norm=nn.BatchNorm1d(8)),
        X,
    ),
    "a batch of one through a batch norm": (nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8)), X[:1]),
    "a layer that stands twice": (
        Lambda(lambda m, x: (m.fc(x), m.fc(m.fc(x)))[1], fc=nn.Linear(8, 8)),
        X,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "inputs"), LEGITIMATE.values(), ids=LEGITIMATE)
def test_what_is_meant_is_not_found(model: nn.Module, inputs: Any) -> None:
    assert kinds(model, inputs) == []


def test_dropouts_make_the_difference_between_the_modes() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        out = self.drop(torch.relu(self.fc(x)))
        out += x
        return out

    found = audit(Lambda(forward, fc=nn.Linear(8, 8), drop=nn.Dropout(0.1)), X)
    assert list(found) == [
        Finding(
            "overwritten",
            "",
            "note",
            "Lambda changes in place (+=) a value that its own backward needs: backward in eval mode raises an error.",
            "In Lambda write y = y + x, which makes a new value, instead of y += x.",
        )
    ]


def test_whole_numbers_have_no_backward() -> None:
    assert list(audit(Lambda(lambda m, x: m.fc(x).argmax(-1), fc=nn.Linear(8, 8)), X)) == [
        Finding(
            "no gradient",
            "",
            "note",
            "no output of Lambda carries a gradient (none of them holds floating-point numbers), so gradients were not "
            "judged.",
            "Return what the loss is computed from, if the model is to be trained.",
        )
    ]


class _Refusing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        raise NotImplementedError("no backward for this one\nnor for others")


def test_a_backward_that_fails() -> None:
    found = audit(Lambda(lambda m, x: _Refusing.apply(m.fc(x)), fc=nn.Linear(8, 8)), X)
    assert [(finding.level, finding.message) for finding in found] == [
        ("note", "backward through Lambda fails: no backward for this one")
    ]


def test_a_training_mode_that_fails() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ValueError("targets should not be None")
        return self.fc(x)

    assert list(audit(nn.Sequential(Lambda(forward, fc=nn.Linear(8, 8))), X)) == [
        Finding(
            "training mode",
            "0",
            "note",
            '"0" does not run in training mode on these inputs (ValueError: targets should not be None), so the model '
            "was judged in eval mode alone.",
            "Give inputs that it can be trained on, such as more examples.",
        )
    ]


def test_a_weight_that_nothing_reads() -> None:
    class Idle(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 8)
            self.gate = nn.Parameter(torch.ones(8))

    found = audit(nn.Sequential(Idle()), X)
    assert [(finding.level, finding.module, finding.message) for finding in found] == [
        ("note", "0", '"0.gate" gets no gradient: nothing reads it.')
    ]


def test_no_inputs_known() -> None:
    with pytest.raises(InputsError) as caught:
        audit(nn.Linear(8, 8))
    assert str(caught.value) == (
        "what Linear takes is not known. Pass one example of it: inputs=tensor, tuple or dict."
    )


def test_mistakes_come_first_then_places_in_order() -> None:
    layers = [nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)) for _ in range(11)]
    model = nn.Sequential(nn.Sequential(*layers), Lambda(lambda m, x: x + m.proj(x), proj=nn.Linear(8, 1)))
    found = audit(model, X)
    assert [finding.module for finding in found] == ["1", *(f"0.{number}.0" for number in range(11))]
    assert found.mistakes == [found[0]]


def test_a_finding_needs_no_torch() -> None:
    code = "import sys, identikit as ik; ik.Finding('k', 'm', 'note', 'a', 'b'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
