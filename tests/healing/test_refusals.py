"""What is not healed: one clear line, and nothing is changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from healing.conftest import Case, same, state, vectors
from identikit.errors import ModelError, PlanError
from small_net import made

COPY = "Copy first: teacher = copy.deepcopy(model), then ik.remove(model, ...)."


def refused(student: nn.Module, teacher: nn.Module, **how: Any) -> str:
    with pytest.raises((PlanError, ModelError)) as error:
        ik.heal(student, teacher, vectors(), progress=False, **{"steps": 2, **how})
    return str(error.value)


def test_one_model(plain: Case) -> None:
    net = made()
    assert refused(net, net) == (f"student and teacher are the same model, which has nothing to teach itself. {COPY}")
    shares = copy.deepcopy(net)
    shares.head = net.head
    before = state(net)
    assert refused(shares, net) == (
        f'student and teacher share weights ("head.weight"), so the teacher would change too. {COPY}'
    )
    assert same(state(net), before)


def test_an_edit_that_is_only_applied() -> None:
    net, teacher = made(), made()
    said = (
        "an edit is still applied to the {}: undo the handle, then heal. To heal a model without these layers, take "
        "them out for good: use ik.remove."
    )
    with ik.bypass(net, "layers.1", inputs=vectors()[0]):
        assert refused(net, teacher) == said.format("student")
        assert refused(teacher, net) == said.format("teacher")


def test_weights_that_cannot_learn() -> None:
    teacher = made()
    frozen = made().requires_grad_(False)
    assert refused(frozen, teacher) == (
        "every weight of Net is frozen (requires_grad is False). Let some learn, then heal."
    )
    assert refused(made().to("meta"), teacher) == (
        "weights of Net are on the meta device or put aside. Load them first, then heal."
    )
    with torch.inference_mode():
        there = made()
    assert refused(there, teacher) == (
        "Net was made in inference mode, where nothing can be trained. Make it outside of it."
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch.ao
def test_quantised_weights() -> None:
    teacher = made()
    student = torch.ao.quantization.quantize_dynamic(made(), {nn.Linear}, dtype=torch.qint8)
    assert refused(student, teacher).startswith("Net is quantised (layers.0.branch.0._packed_params")
    assert refused(student, teacher).endswith("rounded weights cannot be trained. Heal first, then quantise.")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"minutes": 0}, "minutes=0 heals nothing. Give a number above 0, or leave it out."),
        ({"steps": -1}, "steps=-1 heals nothing. Give a number above 0, or leave it out."),
        ({"lr": float("nan")}, "lr=nan heals nothing. Give a number above 0, or leave it out."),
        ({"hidden": -1.0}, "hidden=-1.0 is no weight. Give 0 (outputs alone), 1, or another number."),
        ({"holdout": 1.0}, "holdout=1.0 is no share of the data between 0 and 1, such as 0.1."),
        ({"compare": "kl"}, "compare='kl' is none of cosine, logits, sigmoid, values."),
        ({"precision": "fp16"}, "precision='fp16' is none of float32, bf16."),
    ],
)
def test_numbers_that_mean_nothing(how: dict[str, Any], said: str) -> None:
    assert refused(made(), made(), **how) == said


def test_outputs_of_another_shape() -> None:
    student = nn.Sequential(nn.Linear(6, 4))
    before = state(student)
    assert refused(student, made()).startswith("the output of student and teacher differ in shape (")
    assert same(state(student), before)


def test_inside_of_inference_mode_it_learns_all_the_same(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    data = plain.data()
    with torch.inference_mode():
        ik.heal(student, teacher, data, steps=10, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.improved
