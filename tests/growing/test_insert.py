"""`insert`: the model computes what it did, bit for bit; new blocks are the identity and learn; undone if it fails."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import identikit as ik
from identikit.batches import Batch, tensors_of
from identikit.errors import IdentikitWarning, ModelError, PlaceError, PlanError, RoleError
from identikit.families import family_of
from identikit.surgery.carried import carried
from laws.snapshot import Snapshot
from laws.test_decoding import CLOSE, DECODERS, off
from zoo import ZOO, Case, case

POST_NORM = ("bert", "bart", "encoder_post_norm")
NO_IDENTITY = (*POST_NORM, "tuples", "in_place", "by_name", "shared")


def grows() -> list[Any]:
    """Each stack of the zoo whose blocks can be the identity, and the number of a block in it."""
    return [
        pytest.param(entry, stack, 1, id=f"{entry.name}-{stack}")
        for entry in ZOO
        if entry.name not in NO_IDENTITY
        for stack in entry.stacks
        if (entry.name, stack) != ("t5", "decoder.block")
    ]


def run(model: nn.Module, batch: Batch) -> list[torch.Tensor]:
    with torch.no_grad(), family_of(model).quiet(model):
        return tensors_of(batch.copied().call(model))


def bits(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def gradients(model: nn.Module, batch: Batch, path: str) -> list[torch.Tensor]:
    """The gradients of the layer at `path`, the whole model differentiated."""
    with family_of(model).quiet(model):
        floats = [value for value in tensors_of(batch.copied().call(model)) if value.is_floating_point()]
    draw = torch.Generator().manual_seed(0)
    weights = list(model.get_submodule(path).parameters())
    loss = sum((value * torch.randn(value.shape, generator=draw)).sum() for value in floats if value.requires_grad)
    found = torch.autograd.grad(loss, weights, allow_unused=True)  # type: ignore[arg-type]
    return [grad for grad in found if grad is not None]


@pytest.mark.parametrize(("entry", "stack", "number"), grows())
def test_law_7_an_inserted_block_changes_nothing_and_learns(entry: Case, stack: str, number: int) -> None:
    model = entry.build()
    batch = entry.inputs(model)
    before, depth = run(model, batch), len(model.get_submodule(stack))  # type: ignore[arg-type]
    source = {name: value.clone() for name, value in model.get_submodule(f"{stack}.{number}").named_parameters()}
    assert ik.insert(model, stack, after=number, inputs=batch) is model
    assert bits(run(model, batch), before)
    assert len(model.get_submodule(stack)) == depth + 1  # type: ignore[arg-type]
    new = dict(model.get_submodule(f"{stack}.{number + 1}").named_parameters())
    changed = [name for name, value in new.items() if not torch.equal(value, source[name])]
    assert 0 < len(changed) < len(new), "the rest holds what the copied block does"
    assert any(bool(grad.any()) for grad in gradients(model, batch, f"{stack}.{number + 1}"))
    if entry.name in DECODERS:
        assert off(model, entry) < CLOSE


@pytest.mark.parametrize("name", POST_NORM)
def test_a_post_norm_block_is_refused_by_the_name_of_its_norm(name: str) -> None:
    entry = case(name)
    model, stack = entry.build(), entry.stacks[0]
    before = Snapshot(model)
    with pytest.raises(RoleError) as refusal:
        ik.insert(model, stack, after=[1], inputs=entry.inputs(model))
    norm = {"bert": "output.LayerNorm", "bart": "final_layer_norm", "encoder_post_norm": "norm2"}[name]
    assert str(refusal.value) == (
        f'"{stack}.1" cannot be made the identity: "{stack}.1.{norm}" normalises the stream itself (post-norm), and no '
        f'weights undo that. To repeat the layer as it is: ik.duplicate(model, "{stack}", [1]).'
    )
    assert before.changes(model) == []


EXPECTED = {
    "llama": {"self_attn.o_proj.weight", "mlp.down_proj.weight"},
    "gemma3": {"post_attention_layernorm.weight", "post_feedforward_layernorm.weight"},
    "mixtral": {"self_attn.o_proj.weight", "mlp.experts.down_proj"},
    "mamba": {"mixer.out_proj.weight"},
    "bloom": {
        f"{name}.{kind}" for name in ("self_attention.dense", "mlp.dense_4h_to_h") for kind in ("weight", "bias")
    },
    "resnet": {"bn2.weight", "bn2.bias"},
    "encoder_pre_norm": {f"{name}.{kind}" for name in ("self_attn.out_proj", "linear2") for kind in ("weight", "bias")},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_closes_each_branch_and_nothing_else_is_at_zero(name: str) -> None:
    entry = case(name)
    model, stack = entry.build(), entry.stacks[0]
    kept = copy.deepcopy(model.get_submodule(f"{stack}.1"))
    ik.insert(model, stack, after=[1], inputs=entry.inputs(model))
    new = dict(model.get_submodule(f"{stack}.2").named_parameters())
    assert {each for each, value in kept.named_parameters() if not torch.equal(value, new[each])} == EXPECTED[name]
    zero = -1.0 if name == "gemma3" else 0.0  # Gemma's norms multiply by one more than their weight
    assert all(bool((new[each] == zero).all()) for each in EXPECTED[name])


def test_several_copies_in_several_places_and_only_they_train() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    before, old = run(model, batch), [id(value) for value in model.parameters()]
    ik.insert(model, "model.layers", after=[0, -1], count=2, freeze=True, inputs=batch)
    assert bits(run(model, batch), before)
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == list(range(8))
    assert model.config.num_hidden_layers == 8
    learning = {name.split(".")[2] for name, value in model.named_parameters() if value.requires_grad}
    assert learning == {"1", "2", "6", "7"}
    assert all(not value.requires_grad for value in model.parameters() if id(value) in old)
    assert all(layer.self_attn.config is model.config for layer in model.model.layers), "the configuration is shared"
    assert len({id(value) for value in model.model.layers.parameters()}) == 8 * 9


def test_the_model_goes_on_working_as_a_grown_one() -> None:
    """Places mean the model as it is; what it carries speaks of the model first loaded, and new layers have names."""
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    ik.insert(model, "model.layers", after=[1], count=2, inputs=batch)
    history = carried(model)
    assert history is not None
    names = [history.first_path(f"model.layers.{number}") for number in range(6)]
    assert [name.rpartition(".")[2] for name in names] == ["0", "1", "1+1", "1+2", "2", "3"]
    assert [history.present_path(name) for name in names] == [f"model.layers.{number}" for number in range(6)]
    assert history.plan == ik.Plan(
        frozenset([ik.Edit("insert", "model.layers.1", (("count", 2),))]),
        history.plan.fingerprint,
        "",
        "LlamaForCausalLM",
    )
    assert ik.Plan.from_json(history.plan.to_json()) == history.plan
    with ik.bypass(model, "model.layers.4", inputs=batch) as handle:
        assert handle.plan.places == ("model.layers.2",)
    ik.remove(model, ["model.layers.1", "model.layers.3"], inputs=batch)  # the one that was copied, and a copy
    assert [layer.self_attn.layer_idx for layer in model.model.layers] == list(range(4))
    after = carried(model)
    assert after is not None
    names = [after.first_path(f"model.layers.{number}") for number in range(4)]
    assert [name.rpartition(".")[2] for name in names] == ["0", "1+1", "2", "3"]
    assert sorted(map(str, after.plan)) == [
        "identity at model.layers.1",
        "identity at model.layers.1+2",
        "insert at model.layers.1 count=2",
    ]
    assert off(model, entry) < CLOSE
    again = copy.deepcopy(model)
    assert bits(run(again, batch), run(model, batch))
    with ik.bypass(again, "model.layers.2", inputs=batch) as handle:
        assert handle.plan.places == ("model.layers.2",), "as many layers as at first, and still not the same ones"


def test_one_more_is_put_in_behind_a_new_one() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    before = run(model, batch)
    ik.insert(model, "model.layers", after=[1], inputs=batch)
    with pytest.raises(PlanError) as refusal:
        ik.insert(model, "model.layers", after=[1], inputs=batch)
    assert str(refusal.value) == (
        'layers were put in behind "model.layers.1" before. Name the last of them instead ("model.layers", 2); '
        "to repeat a layer, do so before you insert."
    )
    ik.insert(model, "model.layers", after=[2], inputs=batch)
    assert bits(run(model, batch), before)
    assert carried(model).first_path("model.layers.3") == "model.layers.1+1+1"  # type: ignore[union-attr]


def test_an_encoder_decoder_grows_where_its_cache_counts_the_other_stack() -> None:
    """T5's `generate` makes as many places in the cache as the *encoder* has layers."""
    entry = case("t5")
    model = entry.build()
    batch = entry.inputs(model)
    before, output = Snapshot(model), run(model, batch)
    with pytest.raises(RoleError) as refusal:
        ik.insert(model, "decoder.block", after=[2], inputs=batch)
    assert str(refusal.value) == (
        'T5ForConditionalGeneration with a longer "decoder.block" does not generate: it no longer decodes with a cache '
        "(IndexError: list index out of range). It was left as it was. Where the library counts the layers of another "
        "stack for its cache, let that one grow first."
    )
    assert before.changes(model) == []
    ik.insert(model, "encoder.block", after=[2], inputs=batch)
    ik.insert(model, "decoder.block", after=[2], inputs=batch)
    assert bits(run(model, batch), output)
    model.generate(batch.kwargs["input_ids"], max_new_tokens=3)  # type: ignore[operator]


def test_half_precision() -> None:
    entry = case("llama")
    model = entry.build().to(torch.bfloat16)
    batch = entry.inputs(model)
    before = run(model, batch)
    ik.insert(model, "model.layers", after=[0, 2], inputs=batch)
    assert bits(run(model, batch), before)
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}


def test_tied_weights_are_the_copies_own() -> None:
    entry = case("tied")
    model = entry.build()
    batch = entry.inputs(model)
    before = run(model, batch)
    ik.insert(model, "blocks", after=[1], inputs=batch)
    assert bits(run(model, batch), before)
    assert model.blocks[2].down.bias is not model.blocks[1].down.bias  # type: ignore[union-attr,index]
    assert model.blocks[3].down.bias is model.blocks[1].down.bias  # type: ignore[union-attr,index]
    assert bool(model.blocks[1].down.bias.any())  # type: ignore[union-attr,index]


def test_a_layer_that_stands_in_several_places_is_refused() -> None:
    entry = case("shared")
    model = entry.build()
    with pytest.raises(RoleError) as refusal:
        ik.insert(model, "layers", after=[0], inputs=entry.inputs(model))
    assert str(refusal.value) == (
        '"layers.0" stands in several places (layers.0, layers.2): one layer, used again. Copy another.'
    )


PLACES = [
    ("model", 0, '"model" is a LlamaModel, no list of numbered layers. This model has "model.layers".'),
    ("model.layer", 0, 'no layer "model.layer" in LlamaForCausalLM. Did you mean "model.layers"?'),
    ("model.layers", [1, 4], "after=[1, 4]: layers are named by their numbers, here 0 to 3."),
    ("model.layers", [1, -3], "after=[1, -3] names a layer twice."),
    ("model.layers", [], "after=[]: layers are named by their numbers, here 0 to 3."),
    ("model.layers", True, "after=True: layers are named by their numbers, here 0 to 3."),
    ("model.layers", None, "after=None: layers are named by their numbers, here 0 to 3."),
    ("model.layers", 1.5, "after=1.5: layers are named by their numbers, here 0 to 3."),
    ("model.layers", torch.tensor(1), "after=tensor(1): layers are named by their numbers, here 0 to 3."),
    (None, 0, 'stack=None: a stack is named by its path, such as "model.layers"; one at a time.'),
    (
        ["model.layers"],
        0,
        "stack=['model.layers']: a stack is named by its path, such as \"model.layers\"; one at a time.",
    ),
]


@pytest.mark.parametrize(("stack", "after", "message"), PLACES)
def test_a_wrong_place_is_told(stack: Any, after: Any, message: str) -> None:
    with pytest.raises(PlaceError) as refusal:
        ik.insert(case("llama").build(), stack, after=after)
    assert str(refusal.value) == message


def test_numbers_of_numpy_are_numbers() -> None:
    entry = case("llama")
    model = entry.build()
    ik.insert(model, "model.layers", after=np.array([0, -1]), count=np.int64(2), inputs=entry.inputs(model))  # type: ignore[arg-type]
    assert len(model.model.layers) == 8
    assert ik.Plan.from_json(carried(model).plan.to_json()) == carried(model).plan  # type: ignore[union-attr]


def test_a_dictionary_of_layers_is_not_proposed_for_itself() -> None:
    model = nn.Sequential(nn.ModuleDict({"0": nn.Linear(2, 2), "1": nn.Linear(2, 2)}))
    with pytest.raises(PlaceError, match=r'^"0" is a ModuleDict, no list of numbered layers\.$'):
        ik.insert(model, "0", after=0)


NO_MODELS: list[tuple[Any, str]] = [
    (7, "a model is an nn.Module; this is of type int. Build or load it first."),
    (nn.Linear, "a model is an nn.Module; this is the class Linear. Build or load it first."),
    (
        "scripted",
        "RecursiveScriptModule: a scripted or traced model runs inside TorchScript, where no layer can be watched or "
        "edited. Edit the model first, then script it.",
    ),
]


@pytest.mark.parametrize(("model", "message"), NO_MODELS)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_what_is_no_model_is_told(model: Any, message: str) -> None:
    if model == "scripted":
        model = torch.jit.script(nn.Sequential(nn.Linear(2, 2)))  # type: ignore[no-untyped-call]
    for verb in (lambda: ik.insert(model, "0", after=0), lambda: ik.features(model, inputs=torch.randn(1, 2))):
        with pytest.raises(ModelError) as refusal:
            verb()
        assert str(refusal.value) == message


def test_no_count() -> None:
    with pytest.raises(PlaceError, match=r"^count=0: insert puts in one copy or more of each layer\.$"):
        ik.insert(case("llama").build(), "model.layers", after=0, count=0)


def test_a_live_handle_and_an_edited_layer_are_refused() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    with (
        ik.bypass(model, "model.layers.1", inputs=batch),
        pytest.raises(
            PlanError, match=r"^an edit is still applied to this model\. Undo the handle, then let the stack"
        ),
    ):
        ik.insert(model, "model.layers", after=0, inputs=batch)
    ik.remove(model, "model.layers.1.mlp", inputs=batch)
    with pytest.raises(PlanError) as refusal:
        ik.insert(model, "model.layers", after=1, inputs=batch)
    assert str(refusal.value) == (
        '"model.layers.1" was edited before (zero at model.layers.1.mlp). Copy another layer, or grow first and edit '
        "then."
    )


def test_a_wrapped_model_grows_inside_its_wrapper() -> None:
    entry = case("nested")
    model = nn.DataParallel(entry.build())
    batch = entry.inputs(model)
    assert ik.insert(model, "module.stages.0", after=[1], inputs=batch) is model
    assert len(model.module.stages[0]) == 4  # type: ignore[arg-type,index,union-attr]


def test_duplicating_warns_and_inserting_does_not(recwarn: pytest.WarningsRecorder) -> None:
    entry = case("nested")
    model = entry.build()
    ik.insert(model, "stages.0", after=[1], inputs=entry.inputs(model))
    assert not [each for each in recwarn if issubclass(each.category, IdentikitWarning)]
