"""Models that run in one way and not in another: without gradients, with derivatives inside, in one mode alone."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from auditing.written import Lambda, X, kinds
from identikit import Finding, audit
from identikit.errors import IdentikitWarning, InputsError


def linear() -> nn.Linear:
    return nn.Linear(8, 8)


def chunked(self: Any, x: torch.Tensor) -> torch.Tensor:
    q, k, v = self.qkv(x).chunk(3, -1)
    q *= 0.35
    return (q @ k.mT).softmax(-1) @ v


def averaged(self: Any, x: torch.Tensor) -> torch.Tensor:
    self.p += x.mean(0)
    return self.fc(x) + self.p


def hooked() -> nn.Module:
    model = nn.Sequential(linear(), nn.ReLU(inplace=True))
    model[0].register_full_backward_hook(lambda *_: None)
    return model


UNTRAINABLE: dict[str, tuple[nn.Module, str, str]] = {
    "a chunk": (Lambda(chunked, qkv=nn.Linear(8, 24)), "", "Lambda does not run with gradients (RuntimeError: Output "
                "0 of Split is a view and is being modified inplace), so it cannot be trained; no more was judged."),
    "a parameter": (Lambda(averaged, p=nn.Parameter(torch.zeros(8)), fc=linear()), "",
                    "Lambda does not run with gradients (RuntimeError: a leaf Variable that requires grad is being "
                    "used in an in-place operation), so it cannot be trained; no more was judged."),
    "out=": (Lambda(lambda m, x: torch.mul(m.fc(x), 2, out=torch.empty(4, 8)), fc=linear()), "",
             "Lambda does not run with gradients (RuntimeError: mul(): functions with out=... arguments don't support "
             "automatic differentiation, but one of the arguments requires grad), so it cannot be trained; no more "
             "was judged."),
    "a backward hook": (hooked(), "1", '"1" does not run with gradients (RuntimeError: Output 0 of '
                        "BackwardHookFunction is a view and is being modified inplace), so Sequential cannot be "
                        "trained; no more was judged."),
}  # fmt: skip


@pytest.mark.parametrize(("model", "module", "message"), UNTRAINABLE.values(), ids=UNTRAINABLE)
def test_what_runs_without_gradients_alone(model: nn.Module, module: str, message: str) -> None:
    fix = "Let that step make a new value (y = y + x instead of y += x, no out=)."
    assert list(audit(model, X)) == [Finding("with gradients", module, "mistake", message, fix)]


def test_a_model_that_returns_an_array_may_be_for_use_alone() -> None:
    found = audit(Lambda(lambda m, x: m.fc(x).numpy(), fc=linear()), X)
    assert list(found) == [
        Finding(
            "with gradients",
            "",
            "note",
            "Lambda does not run with gradients (RuntimeError: Can't call numpy() on Tensor that requires grad), so it "
            "cannot be trained; no more was judged.",
            "Mend that step, if the model is to be trained (.numpy() takes a .detach() before it).",
        )
    ]


def test_an_array_in_eval_mode_alone() -> None:
    model = Lambda(lambda m, x: m.fc(x) if m.training else m.fc(x).numpy(), fc=linear())
    assert kinds(model, X) == [("note", "with gradients", "")]


def test_in_place_in_training_mode_alone() -> None:
    model = Lambda(lambda m, x: chunked(m, x) if m.training else m.qkv(x), qkv=nn.Linear(8, 24))
    assert kinds(model, X) == [("mistake", "training mode", "")]


def energy(self: Any, position: torch.Tensor) -> torch.Tensor:
    return self.fc(torch.tanh(self.hidden(position))).sum()


def forces(self: Any, position: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        position = position.detach().requires_grad_(True)
        return -torch.autograd.grad(energy(self, position), position, create_graph=True)[0]


def forces_of_the_input(self: Any, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    position.requires_grad_(True)
    total = energy(self, position)
    return total, -torch.autograd.grad(total, position, create_graph=True)[0]


def jacobian(self: Any, x: torch.Tensor) -> Any:
    return torch.autograd.functional.jacobian(lambda p: energy(self, p), x, create_graph=True)


BIAS = [("note", "no gradient", "fc")]  # the last one moves no derivative
DERIVED: dict[str, tuple[Any, list[tuple[str, str, str]]]] = {
    "autograd.grad": (forces, BIAS),
    "requires_grad_ on the input": (forces_of_the_input, []),
    "torch.func": (lambda m, x: torch.vmap(torch.func.grad(lambda p: energy(m, p)))(x), BIAS),
    "jvp": (lambda m, x: torch.func.jvp(lambda p: energy(m, p), (x,), (torch.ones_like(x),))[1], BIAS),
    "jacobian": (jacobian, BIAS),
    "vmap": (lambda m, x: torch.vmap(lambda row: m.fc(m.hidden(row)))(x), []),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, for jvp
@pytest.mark.parametrize(("function", "expected"), DERIVED.values(), ids=DERIVED)
def test_derivatives_inside_a_forward(function: Any, expected: list[tuple[str, str, str]]) -> None:
    assert kinds(Lambda(function, hidden=linear(), fc=nn.Linear(8, 1)), X) == expected


def test_a_layer_that_shows_in_no_derivative_is_a_note() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        self.unused(x)
        return forces(self, x)

    model = Lambda(forward, hidden=linear(), fc=nn.Linear(8, 1), unused=linear())
    assert ("note", "dead branch", "unused") in kinds(model, X)


def test_a_copy_of_a_layer_runs_as_itself() -> None:
    def ensemble(self: Any, x: torch.Tensor) -> torch.Tensor:
        frame = copy.deepcopy(self.all[0]).to("meta")
        weights = {name: torch.stack([each.get_parameter(name) for each in self.all]) for name in ("weight", "bias")}
        return torch.vmap(lambda own: torch.func.functional_call(frame, own, (x,)))(weights)

    assert kinds(Lambda(ensemble, all=nn.ModuleList([linear(), linear()])), X) == []


def test_an_exported_model_has_no_eval_mode() -> None:
    with pytest.raises(InputsError, match="NotImplementedError"):
        audit(torch.export.export(nn.Linear(8, 8), (X,)).module(), X)


def test_a_weight_too_large_to_keep_is_named_once() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.teacher.weight.mul_(0.9).add_(self.student.weight, alpha=0.1)
        return self.student(x) - self.teacher(x)

    model = Lambda(forward, student=nn.Linear(200, 200), teacher=nn.Linear(200, 200).requires_grad_(False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        audit(model, torch.randn(2, 200))
    assert [each.category for each in caught] == [IdentikitWarning]
    assert "writes into its weights (teacher.weight)" in str(caught[0].message)


def test_a_sparse_output() -> None:
    assert kinds(Lambda(lambda m, x: m.fc(x).to_sparse(), fc=linear()), X) == []


def test_what_a_backward_raises_is_cut_short() -> None:
    class Long(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
            raise NotImplementedError("no " * 1000)

    (found,) = audit(Lambda(lambda m, x: Long.apply(m.fc(x)), fc=linear()), X)
    assert len(found.message) < 250


def test_a_reentrant_checkpoint() -> None:
    from torch.utils.checkpoint import checkpoint

    model = Lambda(lambda m, x: checkpoint(m.fc, m.stem(x), use_reentrant=True), stem=linear(), fc=linear())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = audit(model, X)
    assert [(each.level, each.message, each.fix) for each in found] == [
        (
            "note",
            "Lambda has a checkpoint with use_reentrant=True, behind which gradients cannot be judged.",
            "Call checkpoint with use_reentrant=False, as torch advises.",
        )
    ]


def test_relu_in_place_is_run_with_gradients() -> None:
    assert kinds(Lambda(lambda m, x: F.relu(m.fc(x), inplace=True), fc=linear()), X) == []
