"""A bypassed model is copied, pickled, compiled and trained like any other."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from identikit.batches import Batch, tensors_of
from identikit.structure.compare import equal
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import case

NAMES = ["llama", "gpt2", "bert", "t5", "mamba", "bloom", "encoder_post_norm", "tuples", "dicts", "resnet", "unet"]


def built(name: str) -> tuple[nn.Module, Batch, str]:
    entry = case(name)
    model = entry.build()
    return model, entry.inputs(model), entry.blocks()[1]


def run(model: nn.Module, batch: Batch) -> list[torch.Tensor]:
    with torch.no_grad():
        return tensors_of(batch.copied().call(model))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_computes_the_same_and_is_its_own_model(name: str, how: str) -> None:
    model, batch, place = built(name)
    full = run(model, batch)
    with bypass(model, place, inputs=batch):
        edited = run(model, batch)
        again = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
        assert all(torch.equal(a, b) for a, b in zip(run(again, batch), edited, strict=True))
        mine = {id(module) for module in model.modules()}
        assert not mine & {id(module) for module in again.modules()}
        with torch.no_grad():
            for parameter in again.parameters():
                parameter.zero_()
        assert all(torch.equal(a, b) for a, b in zip(run(model, batch), edited, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(run(model, batch), full, strict=True))
    assert any("forward" in vars(module) for module in again.modules()), "the copy stays edited"


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_of_a_layer_that_is_run_and_filled_runs_its_own(how: str) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)).eval()
    x = torch.randn(3, 4)
    with bypass(model, "0", inputs=x, as_="zero"):
        again = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
        assert torch.equal(again(x), model(x))
        assert again[0].forward.run.args[0] is again[0]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_model_is_copied_and_pickled(name: str) -> None:
    model, batch, place = built(name)
    remove(model, place, inputs=batch)
    expected = run(model, batch)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(torch.equal(a, b) for a, b in zip(run(again, batch), expected, strict=True))


@pytest.mark.parametrize("name", ["llama", "bert", "tuples", "encoder_pre_norm"])
def test_compiled_as_one_graph_without_compiling_again_from_call_to_call(name: str) -> None:
    """A counter in the edited forward would compile at every call and stop at the eighth."""
    model, batch, place = built(name)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with bypass(model, place, inputs=batch):
        expected = run(model, batch)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for _ in range(10):
            assert equal(run(compiled, batch), expected)
        counters = torch._dynamo.utils.counters
        assert counters["stats"]["unique_graphs"] == 1
        assert not counters["graph_break"]
        assert not counters["recompiles"]
    torch._dynamo.reset()


def test_a_model_compiled_before_the_edit_is_compiled_again_and_sees_it() -> None:
    model, batch, place = built("llama")
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    full = run(compiled, batch)
    with bypass(model, place, inputs=batch):
        assert equal(run(compiled, batch), run(model, batch))
        assert not equal(run(compiled, batch), full)
    assert equal(run(compiled, batch), full)
    torch._dynamo.reset()


def test_gradients_flow_around_a_bypassed_layer() -> None:
    model, batch, place = built("llama")
    with bypass(model, place, inputs=batch):
        batch.call(model).logits.sum().backward()
        out = {name for name, value in model.named_parameters() if value.grad is None}
        assert out == {name for name, _ in model.named_parameters() if name.startswith(f"{place}.")}


def test_gradient_checkpointing_and_training_go_on_under_a_bypass() -> None:
    model, batch, place = built("llama")
    model.activation_checkpointing_enable()
    model.train()
    before = Snapshot(model)
    with bypass(model, place, inputs=batch):
        batch.call(model).logits.sum().backward()
    model.zero_grad()
    assert before.changes(model) == []


def test_user_hooks_on_a_bypassed_layer_still_fire() -> None:
    model, batch, place = built("gpt2")
    seen: list[torch.Size] = []
    hook = model.get_submodule(place).register_forward_hook(lambda module, args, output: seen.append(args[0].shape))
    with bypass(model, place, inputs=batch):
        seen.clear()
        run(model, batch)
        assert len(seen) == 1
    hook.remove()
