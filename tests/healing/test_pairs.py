"""Which hidden states belong together: by the plan, whatever was removed, and whoever the teacher is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import identikit as ik
from healing.conftest import Case
from identikit.errors import PlanError
from identikit.families.anatomy import anatomy_of
from identikit.healing.capture import Capture
from identikit.healing.pairs import pairs_of
from identikit.plan import Plan
from identikit.surgery.carried import Carried, carry, shortened_by
from small_net import made


def found(student: nn.Module, teacher: nn.Module, inputs: object) -> list[tuple[str, str]]:
    pairs, _ = pairs_of(anatomy_of(student, inputs), anatomy_of(teacher, inputs))
    return [(str(pair.student), str(pair.teacher)) for pair in pairs]


def test_by_the_plan(case: Case) -> None:
    teacher = case.teacher()
    assert tuple(found(case.student(teacher), teacher, case.data()[0])) == case.pairs


def test_what_belongs_together_is_equal_where_nothing_is_missing(case: Case) -> None:
    """In a bypassed teacher the states of a pair are the very ones of the student: they mean the same."""
    teacher = case.teacher()
    student = case.student(teacher)
    inputs = case.data()[0]
    pairs, _ = pairs_of(anatomy_of(student, inputs), anatomy_of(teacher, inputs))
    own, taught = (Capture([getattr(pair, side) for pair in pairs]) for side in ("student", "teacher"))
    named = inputs if isinstance(inputs, dict) else {"x": inputs}
    with torch.no_grad(), own.on(student), own.reading():
        student(**named)
    states = [own.state(pair.student) for pair in pairs]
    with torch.no_grad(), taught.on(teacher), ik.bypass(teacher, case.drop, inputs=inputs), taught.reading():
        teacher(**named)
    inner = [pair for pair in pairs if pair.teacher.enters]  # what leaves a bypassed last layer is not seen so
    assert inner
    for pair, state in zip(pairs, states, strict=True):
        if pair in inner:
            torch.testing.assert_close(state, taught.state(pair.teacher))


def test_removed_twice_and_a_teacher_that_lacks_a_layer_too() -> None:
    teacher, inputs = made(), torch.randn(4, 6)
    smaller = ik.remove(copy.deepcopy(teacher), "layers.1", inputs=inputs)
    student = ik.remove(copy.deepcopy(smaller), "layers.1", inputs=inputs)  # which was layers.2
    assert found(student, teacher, inputs) == [
        ("into layers.1", "into layers.3"),
        ("out of layers.1", "out of layers.3"),
    ]
    assert found(student, smaller, inputs) == [
        ("into layers.1", "into layers.2"),
        ("out of layers.1", "out of layers.2"),
    ]


def test_of_equal_structure_without_a_plan() -> None:
    teacher, inputs = made(), torch.randn(4, 6)
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student.layers[0].branch[0].weight.mul_(0.5)
    assert found(student, teacher, inputs) == [
        ("into layers.1", "into layers.1"), ("into layers.2", "into layers.2"), ("into layers.3", "into layers.3"),
        ("out of layers.3", "out of layers.3"),
    ]  # fmt: skip


def test_another_models_plan_tells_nothing() -> None:
    inputs = torch.randn(4, 6)
    student = ik.remove(made(), "layers.1", inputs=inputs)
    other = made()
    other.more = nn.Linear(2, 2)
    pairs, note = pairs_of(anatomy_of(student, inputs), anatomy_of(other, inputs))
    assert pairs == ()
    assert note == (
        "outputs alone were learned from: the plan that this Net carries was made for another model than this teacher."
    )


@pytest.mark.parametrize(
    ("said", "wrong"), [("layers.[1,2]", 'the student has "layers.4"'), ("layers.[]", 'the student lacks "layers.3"')]
)
def test_a_plan_that_does_not_fit(said: str, wrong: str) -> None:
    """A plan of the user's that speaks of other layers is refused, not believed."""
    teacher, inputs = made(), torch.randn(4, 6)
    student = ik.remove(copy.deepcopy(teacher), "layers.1", inputs=inputs)
    plan = Plan.from_json(student._identikit.plan.to_json())
    gone = ["layers.1", "layers.2"] if said == "layers.[1,2]" else []
    history = Carried(plan, None, shortened_by(None, gone) or {"layers": ()})
    carry(student, history)
    with pytest.raises(PlanError) as error:
        pairs_of(anatomy_of(student, inputs), anatomy_of(teacher, inputs))
    assert str(error.value) == (
        f"the plan does not fit this Net and this teacher: by it {wrong}. "
        "Give the plan that the student was made by, and the teacher that it was made from."
    )


def test_states_are_read_before_they_are_written_into() -> None:
    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.add_(1)

    from identikit.healing.pairs import Tap
    from identikit.structure.watch import Location

    tap = Tap("0", Location("x", 0))
    model, capture = nn.Sequential(InPlace()), Capture([tap])
    with capture.on(model), capture.reading():
        model(torch.zeros(2))
    assert capture.state(tap).tolist() == [0, 0]
    with capture.on(model):
        model(torch.zeros(2))  # outside of a reading: not noted
    assert capture.state(tap).tolist() == [0, 0]
    assert "forward" not in vars(model[0])
