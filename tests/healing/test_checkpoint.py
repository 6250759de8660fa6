"""A healing that is cut short goes on as if it had not been; another one's file is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from healing.conftest import Case, same, state
from identikit.errors import ResultError, SaveError
from identikit.healing.training import Training

TESTS = str(Path(__file__).parents[1])


def cut_short(monkeypatch: pytest.MonkeyPatch, after: int, run: Any) -> None:
    """Let `run` be interrupted in step `after`."""
    own, taken = Training._step, []

    def stops(self: Training, *args: Any) -> None:
        if len(taken) == after:
            raise KeyboardInterrupt
        taken.append(1)
        own(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", stops)
        with pytest.raises(KeyboardInterrupt):
            run()


@pytest.mark.parametrize("after", [1, 9, 17])
def test_gone_on_with(after: int, plain: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, file = plain.teacher(), tmp_path / "net.heal"
    whole = plain.student(teacher)
    ik.heal(whole, teacher, plain.data(), steps=20, progress=False)
    student = plain.student(teacher)
    how: dict[str, Any] = {"steps": 20, "to": file, "save_every": 0.0, "progress": False}
    before = state(student)
    cut_short(monkeypatch, after, lambda: ik.heal(student, teacher, plain.data(), **how))
    assert same(state(student), before)
    steps = counted(monkeypatch)
    ik.heal(student, teacher, plain.data(), resume=True, **how)
    assert len(steps) == 20 - after
    one, other = ik.healed(whole), ik.healed(student)
    assert one is not None
    assert other is not None
    assert same(state(student), state(whole))
    assert other.history == one.history
    assert (other.before, other.after, other.steps) == (one.before, one.after, one.steps)
    assert sorted(tmp_path.iterdir()) == [file]
    ik.heal(again := plain.student(teacher), teacher, plain.data(), resume=True, **how)  # it had ended: nothing is done
    assert len(steps) == 20 - after
    assert same(state(again), state(whole))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    own, taken = Training._step, []

    def counts(self: Training, *args: Any) -> None:
        taken.append(1)
        own(self, *args)

    monkeypatch.setattr(Training, "_step", counts)
    return taken


def test_the_teachers_text_is_kept(llama: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from identikit.healing import material

    teacher, file = llama.teacher(), tmp_path / "lm.heal"
    how: dict[str, Any] = {"steps": 4, "to": file, "limit": 8, "batch_size": 4, "progress": False, "save_every": 0.0}
    student = llama.student(teacher)
    ik.heal(whole := llama.student(teacher), teacher, "self", **{**how, "to": None})
    cut_short(monkeypatch, 1, lambda: ik.heal(student, teacher, "self", **how))
    monkeypatch.setattr(material, "written", lambda *_, **__: pytest.fail("it was written before"))
    ik.heal(student, teacher, "self", resume=True, **how)
    assert same(state(student), state(whole))


def test_the_time_that_was_spent_counts(plain: Case, tmp_path: Path) -> None:
    teacher, file = plain.teacher(), tmp_path / "net.heal"
    how: dict[str, Any] = {"minutes": 0.02, "to": file, "save_every": 0.0, "progress": False}
    ik.heal(plain.student(teacher), teacher, plain.data(), **how)
    spent = torch.load(file, weights_only=True)["state"]["elapsed"]
    ik.heal(student := plain.student(teacher), teacher, plain.data(), resume=True, **how)
    found = ik.healed(student)
    assert found is not None
    assert found.seconds >= spent > 1


def test_another_healing_is_refused(plain: Case, tmp_path: Path) -> None:
    teacher, file, data = plain.teacher(), tmp_path / "net.heal", plain.data()
    how: dict[str, Any] = {"steps": 2, "to": file, "progress": False}
    ik.heal(plain.student(teacher), teacher, data, **how)
    content = file.read_bytes()
    student = plain.student(teacher)
    before = state(student)
    with pytest.raises(SaveError) as refused:
        ik.heal(student, teacher, data, **how)
    assert str(refused.value) == (
        f"{file} holds a healing already. Go on with it by --resume (resume=True), or start anew by --overwrite "
        "(overwrite=True)."
    )
    other = plain.teacher()
    with torch.no_grad():
        other.head.bias.add_(1)
    changed = plain.student(teacher)
    with torch.no_grad():
        changed.head.bias.add_(1)
    for what, arguments, more in (
        ("student", (changed, teacher, data), {}),
        ("teacher", (student, other, data), {}),
        ("data", (student, teacher, data[1:]), {}),
        ("steps", (student, teacher, data), {"steps": 3}),
        ("lr", (student, teacher, data), {"lr": 1e-3}),
    ):
        with pytest.raises(ResultError) as error:
            ik.heal(*arguments, resume=True, **{**how, **more})
        assert str(error.value).startswith(f"{file} belongs to another healing; it differs in {what}: ")
        assert str(error.value).endswith("start anew by --overwrite (overwrite=True).")
    assert file.read_bytes() == content
    assert same(state(student), before)
    ik.heal(student, teacher, data, overwrite=True, **{**how, "steps": 3})
    assert file.read_bytes() != content


def test_a_damaged_file(plain: Case, tmp_path: Path) -> None:
    teacher, file = plain.teacher(), tmp_path / "net.heal"
    how: dict[str, Any] = {"steps": 2, "to": file, "progress": False}
    ik.heal(plain.student(teacher), teacher, plain.data(), **how)
    content = file.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"no healing at all"):
        file.write_bytes(damaged)
        with pytest.raises(ResultError, match=r"net.heal is damaged, or no healing\. Name another file, or start anew"):
            ik.heal(plain.student(teacher), teacher, plain.data(), resume=True, **how)
    torch.save({"weights": torch.ones(2)}, file)
    with pytest.raises(ResultError, match=r"net.heal is no healing\."):
        ik.heal(plain.student(teacher), teacher, plain.data(), resume=True, **how)


def test_a_place_that_cannot_be_written(plain: Case, tmp_path: Path) -> None:
    teacher = plain.teacher()
    student = plain.student(teacher)
    with pytest.raises(SaveError, match="does not exist"):
        ik.heal(student, teacher, plain.data(), steps=2, to=tmp_path / "none" / "net.heal", progress=False)


SCRIPT = """
    import sys, time
    import identikit as ik
    from healing.conftest import CASES
    from identikit.healing.training import Training
    own = Training._step
    def slow(self, *args):
        time.sleep(0.05)
        own(self, *args)
    Training._step = slow
    case = next(each for each in CASES if each.name == "plain")
    teacher = case.teacher()
    how = dict(steps=200, to=sys.argv[1], save_every=0.2, progress=False)
    ik.heal(case.student(teacher), teacher, case.data(), **how)
"""


@pytest.mark.long
def test_killed(plain: Case, tmp_path: Path) -> None:
    """kill -9 in the middle; another process goes on, and ends with the weights of an unbroken run."""
    file = tmp_path / "net.heal"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(file)], env={**os.environ, "PYTHONPATH": TESTS}
    )
    patience = time.monotonic() + 120
    while not file.exists() or torch.load(file, weights_only=True)["state"]["course"]["step"] < 20:
        assert time.monotonic() < patience
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    at = torch.load(file, weights_only=True)["state"]["course"]["step"]
    assert 20 <= at < 200
    teacher = plain.teacher()
    student, whole = plain.student(teacher), plain.student(teacher)
    ik.heal(student, teacher, plain.data(), steps=200, to=file, resume=True, progress=False)
    ik.heal(whole, teacher, plain.data(), steps=200, progress=False)
    assert same(state(student), state(whole))
    one, other = ik.healed(student), ik.healed(whole)
    assert one is not None
    assert other is not None
    assert one.history == other.history
