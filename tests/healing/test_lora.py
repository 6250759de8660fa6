"""Adapters learn instead of the weights, are merged, and leave nothing behind."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

import identikit as ik
from healing.conftest import CASES, Case, same, state
from identikit.errors import MissingExtraError, ModelError
from identikit.healing.lora import targets_of


@pytest.mark.parametrize("name", ["bert", "llama", "plain"])
def test_adapters_learn_and_are_merged(name: str) -> None:
    case = next(each for each in CASES if each.name == name)
    teacher = case.teacher()
    student = case.student(teacher)
    before, modules = state(student), [type(module) for module in student.modules()]
    attributes = set(vars(student))
    ik.heal(student, teacher, case.data(), steps=12, lora=2, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.improved
    assert [type(module) for module in student.modules()] == modules
    assert set(vars(student)) - attributes == {"_identikit_healed", "_identikit_provenance"}
    after = state(student)
    assert after.keys() == before.keys()
    changed = [at for at in after if not torch.equal(after[at], before[at])]
    targets = targets_of(student, [path for path, _ in student.named_modules() if path.split(".")[-1].isdecimal()])
    assert changed
    assert set(changed) <= {f"{path}.weight" for path in targets}
    for at in changed:
        assert torch.linalg.matrix_rank((after[at] - before[at]).double(), rtol=1e-4) <= 2
    assert all(value.requires_grad for value in student.parameters())


def test_never_worse(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    before = state(student)
    ik.heal(student, teacher, plain.data(), steps=12, lora=2, lr=1e4, progress=False)
    assert same(state(student), before)


def test_targets_lie_in_the_blocks(plain: Case) -> None:
    net = plain.teacher()
    assert targets_of(net, ["layers.0", "layers.2"]) == ["layers.0.branch.0", "layers.2.branch.0"]
    assert targets_of(net, []) == [f"layers.{number}.branch.0" for number in range(4)] + ["head"]
    with pytest.raises(ModelError, match=r"^Sequential has no linear layer for an adapter\. Heal it without lora\.$"):
        targets_of(nn.Sequential(nn.Conv2d(3, 3, 1)), [])


def test_without_peft(plain: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    teacher = plain.teacher()
    student = plain.student(teacher)
    before = state(student)
    with pytest.raises(MissingExtraError) as error:
        ik.heal(student, teacher, plain.data(), steps=2, lora=2, progress=False)
    assert str(error.value) == 'lora= needs peft. Install it: pip install "identikit[heal]"'
    assert same(state(student), before)
