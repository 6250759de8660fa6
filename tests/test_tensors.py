"""The tensors of a plan: named by what they are, written beside it, and refused where they are not what they were."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from identikit.errors import PlanError, SaveError
from identikit.plan import Edit, Plan
from identikit.tensors import name_of


def plan_with(*tensors: torch.Tensor) -> Plan:
    """A plan with one mean for each of these tensors."""
    named = {name_of(tensor): tensor for tensor in tensors}
    edits = [Edit("mean", f"layers.{number}", (("value", name_of(each)),)) for number, each in enumerate(tensors)]
    return Plan(frozenset(edits), "0123456789abcdef", tensors=named)


ONE, TWO = torch.arange(4.0), torch.tensor([[1.0, -0.0], [float("inf"), 2.0]], dtype=torch.bfloat16)


def refused(make: Any, kind: type[Exception] = PlanError) -> str:
    with pytest.raises(kind) as error:
        make()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_name_tells_dtype_shape_and_every_bit() -> None:
    same = [ONE, ONE.clone(), torch.arange(8.0)[::2] / 2, torch.nn.Parameter(ONE.clone())]
    assert len({name_of(tensor) for tensor in same}) == 1
    others = [ONE, ONE.double(), ONE.reshape(2, 2), ONE + 1, torch.zeros(0), torch.zeros(0, 3), torch.tensor(0.0)]
    others += [torch.tensor(-0.0), torch.tensor(True), torch.tensor(1)]
    assert len({name_of(tensor) for tensor in others}) == len(others)
    assert name_of(ONE) == "sha256:6727e74080cc70b4194dd6e3f8a531a1", "plans written elsewhere must stay readable"


def test_written_and_read(tmp_path: Path) -> None:
    plan = plan_with(ONE, TWO)
    plan.write(tmp_path / "plan.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "plan.safetensors"]
    again = Plan.read(tmp_path / "plan.json")
    assert again == plan
    assert hash(again) == hash(plan)
    for tensor in (ONE, TWO):
        found = again.tensors[name_of(tensor)]
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor)
    again.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan


def test_the_names_stand_for_the_tensors_in_comparisons() -> None:
    bare = Plan.from_json(plan_with(ONE).to_json())
    assert bare == plan_with(ONE) != plan_with(TWO)
    assert bare.tensors == {}
    assert "tensor(" not in repr(plan_with(ONE))
    for again in (copy.deepcopy(plan_with(ONE)), pickle.loads(pickle.dumps(plan_with(ONE)))):
        assert again == bare
        assert torch.equal(again.tensors[name_of(ONE)], ONE)


def test_a_union_holds_the_tensors_of_both_and_of_what_is_left_of_them() -> None:
    one, both = plan_with(ONE), plan_with(ONE, TWO)
    assert set((one | both).tensors) == set((both | one).tensors) == {name_of(ONE), name_of(TWO)}
    assert set((Plan.from_json(one.to_json()) | one).tensors) == {name_of(ONE)}
    assert (both | Plan.of(["layers"])).tensors == {}


def test_a_plan_without_its_tensors_is_not_written(tmp_path: Path) -> None:
    message = refused(lambda: Plan.from_json(plan_with(ONE).to_json()).write(tmp_path / "plan.json"))
    assert message.startswith(f'the tensor {name_of(ONE)} (value of the mean at "layers.0") is not with this plan.')
    assert list(tmp_path.iterdir()) == []


def test_a_tensor_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    plan = plan_with(ONE)
    wrong = Plan(plan.edits, tensors={name_of(ONE): ONE + 1})
    message = refused(lambda: wrong.write(tmp_path / "plan.json"))
    assert message.endswith(f"is another one: its hash is {name_of(ONE + 1)}. Save again.")
    assert list(tmp_path.iterdir()) == []

    plan.write(tmp_path / "plan.json")
    file = tmp_path / "plan.safetensors"
    save_file({name_of(ONE): ONE.clone().fill_(7)}, file)
    assert refused(lambda: Plan.read(tmp_path / "plan.json")).startswith(f'the tensor "{name_of(ONE)}" of {file} is')


def test_a_tensor_that_is_missing(tmp_path: Path) -> None:
    path, file = tmp_path / "plan.json", tmp_path / "plan.safetensors"
    plan_with(ONE, TWO).write(path)
    held = load_file(file)
    del held[name_of(TWO)]
    save_file(held, file)
    assert refused(lambda: Plan.read(path)) == (
        f'{file} lacks the tensor "{name_of(TWO)}" of its plan. Copy both files, or save again.'
    )
    file.unlink()
    assert refused(lambda: Plan.read(path)) == (
        f"the plan's tensors lie in {file}, which is not there. Copy it beside the plan."
    )
    file.write_bytes(b"no tensors")
    assert refused(lambda: Plan.read(path)).startswith(f"{file} is damaged: ")


def test_somebodys_weights_are_not_written_over(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    save_file({"weight": ONE.clone()}, weights)
    before = weights.read_bytes()
    message = refused(lambda: plan_with(ONE).write(tmp_path / "model.json"), SaveError)
    assert message == (
        f"{weights} is not a plan's, so the plan's tensors are not written over it. Give the plan another name."
    )
    assert weights.read_bytes() == before
    assert not (tmp_path / "model.json").exists()


def test_a_plan_with_tensors_loads_torch_only_then(tmp_path: Path) -> None:
    plan_with(ONE).write(tmp_path / "plan.json")
    read = f"Plan.read({str(tmp_path / 'plan.json')!r})"
    said = "print('torch' in sys.modules)"
    code = f"import sys; from identikit.plan import Plan; {said}; {read}; {said}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_two_plans_beside_each_other_do_not_share_a_file(tmp_path: Path) -> None:
    """Only .json is an ending; layer.1 and layer.2 are names."""
    first, second = plan_with(ONE), plan_with(TWO)
    for plan, name in ((first, "layer.1"), (second, "layer.2"), (first, "plan.safetensors")):
        plan.write(tmp_path / name)
    for plan, name in ((first, "layer.1"), (second, "layer.2"), (first, "plan.safetensors")):
        again = Plan.read(tmp_path / name)
        assert again == plan
        assert again.tensors.keys() == plan.tensors.keys()
    assert (tmp_path / "layer.1.safetensors").exists()
