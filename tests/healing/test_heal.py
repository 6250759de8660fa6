"""Laws of `heal`: nearer to the teacher, never worse, and nothing else is touched."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from healing.conftest import Case, same, state, vectors
from identikit.structure.compare import difference


def test_nearer_to_the_teacher(case: Case) -> None:
    teacher = case.teacher()
    student = case.student(teacher)
    untouched = state(teacher)
    assert ik.healed(student) is None
    assert ik.heal(student, teacher, case.data(), steps=20, progress=False) is student
    found = ik.healed(student)
    assert found is not None
    assert found.after < 0.9 * found.before
    assert found.improved
    assert found.steps == 20
    assert found.history[-1][0] == 20
    assert found.stopped == "all steps were taken"
    assert min(each for _, each in found.history) == pytest.approx(found.after, rel=1e-6)
    assert (found.examples + found.held_out) == 8 * len(case.data())
    assert same(state(teacher), untouched)


def test_never_worse(case: Case) -> None:
    """A rate that ruins every weight: the student is as it was, bit for bit, and says so."""
    teacher = case.teacher()
    student = case.student(teacher)
    before = state(student)
    ik.heal(student, teacher, case.data(), steps=20, lr=1e4, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert same(state(student), before)
    assert not found.improved
    assert found.before == found.after
    assert "nothing was nearer than the start, so the model is as it was" in repr(found)


def test_what_is_not_finite_never_reaches_the_weights(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    bad = torch.full((8, 6), float("nan"))
    good = vectors()
    data = [*good, *[bad.clone() for _ in range(4)]]
    ik.heal(student, teacher, data, steps=40, holdout=0.1, seed=held_out_is_good(data), progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.skipped > 0
    assert found.improved
    assert all(bool(torch.isfinite(value).all()) for value in student.parameters())


def held_out_is_good(data: list[torch.Tensor]) -> int:
    """A seed that holds out none of the batches that are no numbers."""
    from identikit.healing.batches import parts_of
    from identikit.sources.objects import as_data

    kept = (
        seed
        for seed in range(20)
        if all(batch.args[0].isfinite().all() for batch in parts_of(as_data(data), 0.1, seed).held_out)
    )
    return next(kept)


def test_nothing_is_judged_on_what_is_no_number(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    with pytest.raises(
        ik.IdentikitError, match=r"^before anything was learned, the unexplained share of output on the .* is nan"
    ):
        ik.heal(student, teacher, [torch.full((8, 6), float("nan"))] * 3, steps=2, progress=False)


def test_modes_flags_and_gradients_stay(case: Case) -> None:
    teacher = case.teacher().train()
    student = case.student(teacher).train()
    frozen = next(iter(student.parameters()))
    frozen.requires_grad_(False)
    gradients = list(student.parameters())[1]
    gradients.grad = torch.ones_like(gradients)
    held = gradients.grad
    before, keys = frozen.detach().clone(), set(vars(student))
    drawn = torch.get_rng_state()
    ik.heal(student, teacher, case.data(), steps=4, progress=False)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(module.training for module in [*student.modules(), *teacher.modules()])
    assert not frozen.requires_grad
    assert torch.equal(frozen, before)
    assert gradients.grad is held
    assert all(value.grad is None for value in [*teacher.parameters(), *list(student.parameters())[2:]])
    assert set(vars(student)) - keys == {"_identikit_healed", "_identikit_provenance"}
    assert not any("forward" in vars(module) for module in [*student.modules(), *teacher.modules()])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_after_an_error_it_is_as_it_was(
    error: type[BaseException], plain: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from identikit.healing.training import Training

    own, steps = Training._step, []

    def fails(self: Training, *args: Any) -> None:
        own(self, *args)
        steps.append(1)
        if len(steps) == 5:
            raise error

    monkeypatch.setattr(Training, "_step", fails)
    teacher = plain.teacher()
    student = plain.student(teacher)
    before, attributes = state(student), dict(vars(student))
    with pytest.raises(error):
        ik.heal(student, teacher, plain.data(), steps=20, progress=False)
    assert len(steps) == 5
    assert same(state(student), before)
    assert dict(vars(student)) == attributes
    assert all(value.requires_grad and value.grad is None for value in student.parameters())


def test_batch_norms_keep_their_statistics_unless_asked() -> None:
    from healing.conftest import CASES

    case = next(each for each in CASES if each.name == "resnet")
    teacher = case.teacher()
    student = case.student(teacher)
    before = {name: value.clone() for name, value in student.named_buffers()}
    ik.heal(student, teacher, case.data(), steps=6, progress=False)
    assert same(dict(student.named_buffers()), before)
    other = case.student(teacher)
    ik.heal(other, teacher, case.data(), steps=30, batch_statistics=True, progress=False)
    found = ik.healed(other)
    assert found is not None
    if found.improved:
        assert not same(dict(other.named_buffers()), before)
    assert not any(module.training for module in other.modules())


def test_the_same_again(case: Case) -> None:
    """Equal models, equal data, equal steps: equal bits."""
    teacher = case.teacher()
    ends = []
    for _ in range(2):
        student = case.student(teacher)
        ik.heal(student, teacher, case.data(), steps=4, progress=False)
        ends.append(state(student))
    assert same(*ends)


def test_another_seed_is_another_course(plain: Case) -> None:
    teacher = plain.teacher()
    found = []
    for seed in (0, 1):
        student = plain.student(teacher)
        ik.heal(student, teacher, plain.data(), steps=6, seed=seed, progress=False)
        found.append(ik.healed(student))
    assert found[0].history != found[1].history


def test_the_time_ends_it(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    ik.heal(student, teacher, plain.data(), minutes=0.02, patience=10**6, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.stopped == "the time was over"
    assert found.steps > 0


def test_epochs(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    ik.heal(student, teacher, plain.data(), epochs=3, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.steps == 3 * 7  # one of eight batches is held out


def test_nothing_better_ends_it(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    ik.heal(student, teacher, plain.data(), steps=100, lr=1e-12, patience=3, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.stopped == "nothing was better at the last 3 looks"
    assert found.steps < 100


def test_hidden_states_help_where_they_are_asked_for(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    ik.heal(student, teacher, plain.data(), steps=4, hidden=0, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.pairs == ()


def test_an_unlike_student_learns_from_outputs_alone(plain: Case) -> None:
    torch.manual_seed(3)
    student = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
    teacher = plain.teacher()
    ik.heal(student, teacher, plain.data(), steps=40, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.after < found.before
    assert found.pairs == ()
    assert found.notes == (
        "outputs alone were learned from: this Sequential carries no plan that says which of the teacher's layers it "
        "has (--plan FILE tells).",
    )


def test_what_is_equal_already_stays_as_it_is(plain: Case) -> None:
    teacher = plain.teacher()
    student = copy.deepcopy(teacher)
    before = state(student)
    ik.heal(student, teacher, plain.data(), steps=10, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert same(state(student), before)
    assert (found.before, found.after) == (0, 0)


def test_data_that_goes_by_once_more_each_epoch(plain: Case) -> None:
    """A loader is read again; a Dataset is cut into batches."""
    rows = torch.cat(plain.data())
    data = torch.utils.data.TensorDataset(rows)
    teacher = plain.teacher()
    one, other = plain.student(teacher), plain.student(teacher)
    ik.heal(one, teacher, data, batch_size=8, steps=10, progress=False)
    ik.heal(other, teacher, torch.utils.data.DataLoader(data, batch_size=8), steps=10, progress=False)
    assert same(state(one), state(other))


def test_what_it_says(plain: Case) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    ik.heal(student, teacher, plain.data(), steps=10, progress=False)
    found = ik.healed(student)
    assert found is not None
    lines = repr(found).splitlines()
    assert lines[0] == "Net"
    assert lines[1].split() == ["from", "the", "teacher,", "held", "out", "before", "after"]
    assert lines[2].startswith("unexplained share of output")
    assert (
        lines[4] == "learned from 56 examples of a list of 8 batches, outputs and 3 hidden states; judged on 8 others"
    )
    assert lines[6] == f"the weights are those of step {found.best_step}"
    told = found.to_dict()
    assert told["before"] == found.before
    assert difference(told["history"], found.history) <= 1


def test_what_goes_into_the_model_card(plain: Case) -> None:
    from identikit.surgery.carried_provenance import holding, provenance_of

    teacher = plain.teacher()
    student = plain.student(teacher)
    ik.heal(student, teacher, plain.data(), steps=10, progress=False)
    found = ik.healed(student)
    assert found is not None
    (step,) = provenance_of(student).steps
    (figure,) = step.figures
    assert (step.verb, figure.before, figure.edited, figure.chosen_on) == ("heal", found.before, found.after, True)
    assert figure.data is not None
    assert (figure.data.name, figure.data.examples) == ("a list of 8 batches", 8)
    assert holding(student) == (True,)
    ruined = plain.student(teacher)
    ik.heal(ruined, teacher, plain.data(), steps=10, lr=1e4, progress=False)
    assert provenance_of(ruined).steps == ()
