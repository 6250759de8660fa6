"""What simplify refuses: one clear line, and the model is as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import IdentikitError, InputsError, ModelError, PlanError
from identikit.simplifying import affine, fold_norm, proof
from laws.snapshot import Snapshot

from .held import picture, simplified, trained


def net() -> nn.Sequential:
    layers = (nn.Conv2d(3, 4, 3), nn.Dropout(), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    model = trained(nn.Sequential(*layers))
    assert isinstance(model, nn.Sequential)
    return model


def said(model: nn.Module, kind: type[IdentikitError], inputs: Any = None) -> str:
    before = Snapshot(model)
    with pytest.raises(kind) as refused:
        ik.simplify(model, picture() if inputs is None else inputs)
    assert before.changes(model) == []
    assert ik.simplified(model) is None
    return str(refused.value)


def test_train_mode() -> None:
    assert said(net().train(), ModelError) == (
        "Sequential is in train mode; simplify folds what evaluation computes. Call model.eval() first."
    )
    model = net()
    model[2].train()
    assert said(model, ModelError).startswith('"2" of Sequential is in train mode;')


def test_a_live_handle() -> None:
    model = net()
    with ik.bypass(model, "3", inputs=picture()):
        assert said(model, PlanError) == (
            "an edit is still applied to this model. Undo the handle first, then simplify."
        )
    simplified(model, picture())


def test_compiled() -> None:
    model = net()
    model[3].compile(backend="eager")
    assert said(model, ModelError) == (
        '"3" of Sequential is compiled; what was compiled would not change. Simplify first, then compile.'
    )
    compiled = torch.compile(net(), backend="eager")
    assert said(compiled, ModelError).startswith("OptimizedModule is compiled;")  # type: ignore[arg-type]
    inside = nn.Sequential(torch.compile(net(), backend="eager"), nn.ReLU()).eval()  # type: ignore[arg-type]
    assert said(inside, ModelError).startswith('"0" of Sequential is compiled;')


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit
def test_scripted() -> None:
    model = torch.jit.trace(net(), picture())
    with pytest.raises(ModelError, match="runs inside TorchScript"):
        ik.simplify(model, picture())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_a_scripted_layer_stays() -> None:
    model = net()
    model[4] = torch.jit.trace(model[4], picture(4))
    found = simplified(model, picture())
    assert [(each.kind, each.at) for each in found.rewrites] == [("strip", "1"), ("fold", "2")]
    assert isinstance(model[3], nn.BatchNorm2d)


def test_weights_that_are_not_here() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    with pytest.raises(ModelError, match="on the meta device"):
        ik.simplify(model, picture().to("meta"))


def test_no_example() -> None:
    with pytest.raises(InputsError, match="Pass one example"):
        ik.simplify(net())


def test_a_model_without_float64_loses_what_changes_no_bit() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.float())

    model = Single().eval()
    expected = model(picture())
    ik.simplify(model, picture())
    found = ik.simplified(model)
    assert found is not None
    assert [(each.kind, each.at) for each in found.rewrites] == [("strip", "inner.1")]
    assert (found.float64, found.own) == (None, 0)
    assert torch.equal(model(picture()), expected)


def test_a_model_that_cannot_be_copied() -> None:
    model = net()
    model.noted = model[0].weight * 2
    with pytest.raises(ModelError, match=r"^a copy of Sequential, where simplify proves itself, does not run"):
        ik.simplify(model, picture())


def test_an_error_half_way_leaves_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    before, calls = Snapshot(model), []
    real = proof.output_of

    def failing(given: nn.Module, *rest: Any) -> Any:
        calls.extend([given] if given is model else [])
        if len(calls) > 2:  # the passes after the rewrites
            raise KeyboardInterrupt
        return real(given, *rest)

    monkeypatch.setattr(proof, "output_of", failing)
    with pytest.raises(KeyboardInterrupt):
        ik.simplify(model, picture())
    assert before.changes(model) == []


def wrong_scale(real: Callable[..., Any]) -> Callable[..., Any]:
    def changed(module: Any, found: affine.Affine, **options: Any) -> Any:
        weight, bias = real(module, found, **options)
        return weight * (1 + 1e-7), bias

    return changed


def test_a_wrong_fold_is_undone_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold that is wrong by a ten-millionth, which float32 would not show."""
    model = net()
    expected = copy.deepcopy(model)
    monkeypatch.setattr(fold_norm, "_scaled", wrong_scale(fold_norm._scaled))
    found = simplified(model, picture())
    assert [each.kind for each in found.rewrites] == ["strip"]
    assert {each.at: each.why for each in found.left} == dict.fromkeys(
        ("2", "5"), "the outputs were not equal without it, so it was put back"
    )
    assert torch.equal(model(picture()), expected(picture()))


def test_one_wrong_fold_of_two_is_undone_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, real = net(), fold_norm._scaled
    monkeypatch.setattr(
        fold_norm, "_scaled", lambda m, a, **o: (wrong_scale(real) if m.in_channels == 4 else real)(m, a, **o)
    )
    found = simplified(model, picture())
    assert [(each.kind, each.at) for each in found.rewrites] == [("strip", "1"), ("fold", "2")]
    assert [each.at for each in found.left] == ["5"]


def test_kernels_that_16_bits_do_not_hold_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 an identity added to small weights drowns them; the norms are folded all the same."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            nn.init.uniform_(self.conv.weight, -0.01, 0.01)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x)

    model = nn.Sequential(net(), Block(), nn.ReLU()).eval()
    monkeypatch.setattr(proof, "_as_near", lambda *outputs: isinstance(model[1], Block))
    monkeypatch.setattr(proof, "difference", lambda one, other: 0.0 if isinstance(model[1], Block) else 2.0)
    ik.simplify(model, picture())
    found = ik.simplified(model)
    assert found is not None
    assert {each.kind for each in found.rewrites} == {"strip", "fold"}
    assert [(each.at, each.why) for each in found.left] == [
        ("1", "in the model's own dtype it would lose too much to rounding")
    ]
    assert isinstance(model[1], Block)
