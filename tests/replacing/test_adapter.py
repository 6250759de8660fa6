"""Fitted adapters: exact where the layer is linear, no worse than the shortcut on their data, saved with the plan."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import DataError, IdentikitWarning, PlanError, RoleError
from identikit.plan import Edit, Plan
from identikit.saving.load import load
from identikit.saving.save import plan_of, save
from identikit.structure.compare import difference, equal
from identikit.surgery.apply import apply, bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from replacing.replaced_models import DOWN, Linear2, Merging, batches, pictures, resnet, run, seen
from zoo import case, weigh

X = pictures()


def error_at(model: nn.Module, place: str, data: list[torch.Tensor], full: nn.Module) -> float:
    """The squared error of what an edited layer returns over `data`."""
    pairs = [(seen(model, place, batch)[0][1], seen(full, place, batch)[0][1]) for batch in data]
    return sum(float((one - other).double().square().sum()) for one, other in pairs)


def tokens(rows: int) -> Batch:
    """Rows of token ids."""
    ids = torch.randint(1, 100, (rows, 9), generator=torch.Generator().manual_seed(0))
    return Batch(kwargs={"input_ids": ids}, examples=rows)


def test_a_linear_block_that_halves_the_picture_is_found_exactly() -> None:
    model = weigh(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Linear2(), nn.ReLU(), nn.Conv2d(8, 2, 1)))
    data = [pictures(2 + number, 9, seed=number) for number in range(3)]
    fresh = pictures(5, 13, seed=9)
    full = run(model, fresh)
    with bypass(model, "1", as_="adapter", data=data) as handle:
        assert handle.residuals["1"] < 1e-9
        torch.testing.assert_close(run(model, fresh)[0], full[0], rtol=1e-4, atol=1e-5)
    (edit,) = handle.plan
    assert edit.op == "adapter"
    assert dict(edit.options)["stride"] == 2
    assert {key: tuple(handle.plan.tensors[name].shape) for key, name in edit.tensors.items()} == {
        "weight": (8, 4),
        "bias": (8,),
    }


@pytest.mark.parametrize("places", [DOWN[:1], DOWN], ids=["one", "two at once"])
def test_on_its_data_it_is_never_worse_than_the_shortcut_or_the_mean(places: tuple[str, ...]) -> None:
    model, full, data = resnet(), resnet(), batches()
    errors = {}
    for op in ("mean", "shortcut", "adapter"):
        with bypass(model, *places, as_=op, data=data) as handle:
            errors[op] = error_at(model, places[0], data, full)
    assert errors["adapter"] < errors["shortcut"]
    assert errors["adapter"] < errors["mean"]
    assert set(handle.residuals) == set(places)
    assert all(0 < value < 1 for value in handle.residuals.values())


def test_several_are_fitted_to_the_model_as_it_was() -> None:
    model, data = resnet(), batches()
    before = Snapshot(model)
    with bypass(model, *DOWN, as_="adapter", data=data) as both, pytest.raises(PlanError):
        remove(model, "layer2.1", inputs=X)
    assert before.changes(model) == []
    with bypass(model, DOWN[1], as_="adapter", data=data) as alone:
        assert alone.plan.edits < both.plan.edits


@pytest.mark.parametrize("axis", ["features last", "averaged"])
def test_a_patch_merging_is_fitted_with_its_features_last(axis: str) -> None:
    model = weigh(nn.Sequential(nn.Linear(3, 4), Merging(4), nn.Linear(8, 8)))
    draw = torch.Generator().manual_seed(0)
    data = [torch.randn(4, 6, 8, 3, generator=draw) for _ in range(3)]
    options = {"down": "average"} if axis == "averaged" else {}
    with bypass(model, "1", as_="adapter", data=data, options=options) as handle:
        assert 0.1 < handle.residuals["1"] < 0.95  # a quarter of each window is seen, or its mean
        assert model(data[0][:, :4]).shape == (4, 2, 4, 8)


def test_a_block_of_a_transformer_with_padding() -> None:
    """Padding holds what no token would: were it not left out, it would pull the map its way."""
    entry = case("bert")
    model = entry.build()
    place = "bert.encoder.layer.1"
    ids = tokens(6).kwargs["input_ids"]
    mask = torch.arange(9) < torch.tensor([[9], [4], [5], [9], [3], [6]])
    batch = Batch(kwargs={"input_ids": ids, "attention_mask": mask.long()}, examples=6)
    other = Batch(kwargs={"input_ids": ids.where(mask, 77), "attention_mask": mask.long()}, examples=6)
    with bypass(model, place, as_="adapter", data=[batch]) as one:
        pass
    with bypass(model, place, as_="adapter", data=[other]) as two:
        assert equal(list(two.plan.tensors.values()), list(one.plan.tensors.values()))


def test_held_out_examples_choose_the_ridge_and_warn_of_a_map_that_predicts_nothing() -> None:
    """Two examples to learn sixteen features from: what fits one says nothing of the other."""

    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(50 * x)

    model = weigh(nn.Sequential(nn.Linear(16, 16), Odd(), nn.Linear(16, 4)))
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    with pytest.warns(IdentikitWarning, match="predicts held-out examples no better than their mean does") as said:
        handle = bypass(model, "1", as_="adapter", data=[x])
    assert 'Give more data, or use as_="mean".' in str(said[0].message)
    assert handle.residuals["1"] >= 1
    handle.undo()


def test_while_bypassed_the_model_is_copied_pickled_compiled_and_moved() -> None:
    model = resnet()
    before = Snapshot(model)
    with bypass(model, DOWN[0], as_="adapter", data=batches()) as handle:
        expected = run(model, X)
        assert list(model.state_dict()) == before.keys
        assert [name for name, _ in model.named_parameters()] == [name for name, _ in resnet().named_parameters()]
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(run(other, X)[0], expected[0])
        compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager")
        torch.testing.assert_close(run(compiled, X), expected)
        moved = copy.deepcopy(model).double()
        assert difference([value.float() for value in run(moved, X.double())], expected) <= 1
        model(X).sum().backward()
        assert model.get_submodule("conv1").weight.grad.abs().sum() > 0
        model.zero_grad(set_to_none=True)
    assert before.changes(model) == []
    handle.undo()


def removed() -> tuple[nn.Module, Plan]:
    """The network with fitted adapters for good, and their plan."""
    model = resnet()
    with bypass(model, *DOWN, as_="adapter", data=batches()) as handle:
        plan = handle.plan
    return remove(model, plan, inputs=X), plan


def test_removed_it_is_a_submodule_that_moves_and_learns(tmp_path: Path) -> None:
    model, plan = removed()
    with apply(resnet_now := resnet(), plan, inputs=X):
        assert equal(run(model, X), run(resnet_now, X))
    own = [name for name, value in model.named_parameters() if name.startswith(DOWN) and value.requires_grad]
    assert own == [f"{place}.replacement.{name}" for place in DOWN for name in ("weight", "bias")]
    first = run(model, X)
    model(X).square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    trained = run(model, X)
    assert difference(trained, first) > 1
    assert difference([value.float() for value in run(copy.deepcopy(model).double(), X.double())], trained) <= 1

    save(model, tmp_path / "trained", format="plan", inputs=X)
    again = load(tmp_path / "trained", model=resnet(), inputs=X)
    assert equal(run(again, X), trained)
    assert plan_of(again).edits == plan_of(model).edits != plan.edits
    assert plan_of(again).edits == Plan.read(tmp_path / "trained" / "plan.json").edits


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_saved_while_bypassed_or_removed_and_loaded_in_its_own_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    model, x = resnet().to(dtype), X.to(dtype)
    with bypass(model, DOWN[0], as_="adapter", data=[batch.to(dtype) for batch in batches()]) as handle:
        expected, plan = run(model, x), handle.plan
        save(model, tmp_path / "bypassed", format="plan", inputs=x)
    assert {value.dtype for value in plan.tensors.values()} == {dtype}
    save(remove(model, plan, inputs=x), tmp_path / "removed", format="plan", inputs=x)
    for name in ("bypassed", "removed"):
        files = {path.name for path in (tmp_path / name).iterdir()}
        assert {"plan.json", "plan.safetensors", "identikit-weights.safetensors"} <= files
        again = load(tmp_path / name, model=resnet().to(dtype), inputs=x)
        assert equal(run(again, x), expected)
        assert again.get_submodule(DOWN[0]).replacement.weight.dtype == dtype


def test_a_library_makes_the_full_model_itself(tmp_path: Path) -> None:
    model = case("llama").build()
    batch = tokens(40)
    remove(model, "model.layers.1.mlp", as_="adapter", data=[batch])
    remove(model, "model.layers.2", inputs=batch)
    expected = run(model, batch)
    save(model, tmp_path / "plan", format="plan", inputs=batch)
    again = load(tmp_path / "plan")
    assert equal(run(again, batch), expected)
    assert plan_of(again).edits == plan_of(model).edits


def test_a_removed_adapter_may_go_with_the_layer_around_it() -> None:
    model, whole, batch = case("llama").build(), case("llama").build(), tokens(40)
    remove(model, "model.layers.1.mlp", as_="adapter", data=[batch])
    remove(model, "model.layers.1", inputs=batch)
    assert equal(run(model, batch), run(remove(whole, "model.layers.1", inputs=batch), batch))
    assert plan_of(model).tensors == {}


def test_refusals() -> None:
    model, data = resnet(), batches()
    with bypass(model, DOWN[0], as_="adapter", data=data) as handle:
        plan = handle.plan
    bare = Plan.from_json(plan.to_json())
    name = next(iter(plan)).tensors["bias"]
    with pytest.raises(PlanError) as missing:
        apply(model, bare, inputs=X)
    assert str(missing.value) == (
        f'the tensor {name} (bias of the adapter at "layer2.0") is not with this plan. '
        "Read the plan from its file, where the tensors lie beside it: ik.Plan.read(path); or make it again: "
        'ik.bypass(model, "layer2.0", as_="adapter", data=[batch, ...]).'
    )
    with pytest.raises(PlanError) as by_hand:
        apply(model, Plan.of(["layer2.0"], "adapter"), inputs=X)
    assert str(by_hand.value) == (
        'the adapter at "layer2.0" has no weight: it is fitted to data. Make the edit with '
        'ik.bypass(model, "layer2.0", as_="adapter", data=[batch, ...]) and use its handle\'s plan.'
    )
    moved = Plan(frozenset([Edit("adapter", "layer3.0", next(iter(plan)).options)]), tensors=plan.tensors)
    with pytest.raises(PlanError) as elsewhere:
        apply(model, moved, inputs=X)
    assert str(elsewhere.value) == (
        'the weight of the adapter at "layer3.0" is 12x8; the layer here needs 16x12. '
        "Load the model that the plan was made for."
    )
    grows = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 1))
    with pytest.raises(RoleError) as larger:
        bypass(grows, "1", as_="adapter", data=data)
    assert str(larger.value) == (
        '"1" takes 2x4x16x16 and returns 2x4x32x32: no linear map leads from one to the other. Keep it.'
    )


def test_data_that_the_layer_treats_otherwise_is_refused() -> None:
    """A layer that pools whatever comes to one size: no stride leads there from a larger picture."""
    model = weigh(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(4), nn.Conv2d(4, 2, 1)))
    with pytest.raises(DataError) as error:
        bypass(model, "1", as_="adapter", data=[pictures(2, 16)], inputs=pictures(2, 8))
    assert str(error.value) == (
        '"1" takes and returns 2x4x16x16 and 2x4x4x4 on the data, not as in the example: no map of one position to one '
        "leads between them. Pass an example of the data's size: inputs=batch."
    )
