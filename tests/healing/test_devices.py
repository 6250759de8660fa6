"""Mixed precision and several processes, by accelerate; nothing of it stays in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import identikit as ik
from healing.conftest import CASES, Case, same, state
from identikit.errors import MissingExtraError

TESTS = str(Path(__file__).parents[1])


def test_bf16(plain: Case) -> None:
    from accelerate.state import AcceleratorState, PartialState

    teacher = plain.teacher()
    one, other = plain.student(teacher), plain.student(teacher)
    ik.heal(one, teacher, plain.data(), steps=10, precision="bf16", progress=False)
    found = ik.healed(one)
    assert found is not None
    assert found.improved
    assert all(value.dtype == torch.float32 for value in one.parameters())
    assert AcceleratorState._shared_state == {}
    assert PartialState._shared_state == {}
    ik.heal(other, teacher, plain.data(), steps=10, progress=False)
    assert not same(state(one), state(other))  # it was computed in another precision


def test_what_accelerate_was_set_to_stays(plain: Case) -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    Accelerator(mixed_precision="no", cpu=True)
    held = dict(AcceleratorState._shared_state)
    try:
        teacher = plain.teacher()
        ik.heal(plain.student(teacher), teacher, plain.data(), steps=2, precision="bf16", progress=False)
        assert dict(AcceleratorState._shared_state) == held
        assert AcceleratorState().mixed_precision == "no"
    finally:
        for kind in (PartialState, AcceleratorState, GradientState):
            kind._shared_state.clear()


def test_a_student_in_half_precision(plain: Case) -> None:
    """Its weights are held in float32 meanwhile, and rounded back into the memory that they had."""
    teacher = plain.teacher()
    student = plain.student(teacher).to(torch.bfloat16)
    teacher = teacher.to(torch.bfloat16)
    memory = [value.data_ptr() for value in student.parameters()]
    data = [batch.to(torch.bfloat16) for batch in plain.data()]
    ik.heal(student, teacher, data, steps=20, progress=False)
    found = ik.healed(student)
    assert found is not None
    assert found.improved
    assert [value.data_ptr() for value in student.parameters()] == memory
    assert all(value.dtype == torch.bfloat16 for value in student.parameters())
    before = state(student)
    ik.heal(student, teacher, data, steps=6, lr=1e6, progress=False)
    assert same(state(student), before)


def test_without_accelerate(plain: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    teacher = plain.teacher()
    student = plain.student(teacher)
    with pytest.raises(MissingExtraError) as error:
        ik.heal(student, teacher, plain.data(), steps=2, precision="bf16", progress=False)
    assert str(error.value) == (
        'healing in bf16 or in several processes needs accelerate. Install it: pip install "identikit[heal]"'
    )
    ik.heal(student, teacher, plain.data(), steps=2, progress=False)  # one process in float32 needs none


SCRIPT = """
    import json, os, sys, torch
    torch.set_num_threads(1)
    import identikit as ik
    from healing.conftest import CASES
    case = next(each for each in CASES if each.name == "plain")
    teacher = case.teacher()
    student = ik.heal(case.student(teacher), teacher, case.data(), steps=12, to=sys.argv[1], progress=False)
    found = ik.healed(student)
    rank = os.environ["RANK"]
    torch.save({"state": dict(student.named_parameters()), "found": found.to_dict()}, f"{sys.argv[1]}.{rank}")
"""


@pytest.mark.long
def test_two_processes(tmp_path: Path) -> None:
    """Both end with the same weights, nearer to the teacher than they began; each learned from batches of its own."""
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "PYTHONPATH": TESTS, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*command, str(script), str(tmp_path / "net.heal")], check=True, env=environment, timeout=200)
    one, other = (torch.load(tmp_path / f"net.heal.{rank}", weights_only=True) for rank in (0, 1))
    assert same(one["state"], other["state"])
    assert one["found"]["after"] < one["found"]["before"]
    assert json.dumps(one["found"]["history"]) == json.dumps(other["found"]["history"])
    case = CASES[-1]
    teacher = case.teacher()
    alone = ik.heal(case.student(teacher), teacher, case.data(), steps=12, progress=False)
    assert not same(one["state"], dict(alone.named_parameters()))
    assert (tmp_path / "net.heal").exists()
