"""The identity in models that other people wrote: where nn.Identity fails or lies, and what identikit does there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from identikit.batches import Batch
from identikit.errors import PlanError, RoleError
from identikit.families.anatomy import anatomy_of
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import case, weigh


def built(name: str) -> tuple[nn.Module, Batch]:
    entry = case(name)
    model = entry.build()
    return model, entry.inputs(model)


def logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return batch.copied().call(model).logits


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "qwen3", "gemma3", "mixtral"])
def test_an_identity_in_the_slot_raises_and_a_bypass_does_not(name: str) -> None:
    """`nn.Identity.forward` takes one argument; every decoder layer is called with more."""
    model, batch = built(name)
    stack, number = case(name).stacks[0], 1
    with bypass(model, f"{stack}.{number}", inputs=batch):
        logits(model, batch)
    model.get_submodule(stack)[number] = nn.Identity()
    with pytest.raises((TypeError, ValueError, AttributeError)):
        logits(model, batch)


def test_a_llama_mlp_is_a_branch_and_becomes_zero() -> None:
    """As the identity it would add norm(x) to the stream: no error, and wrong."""
    model, batch = built("llama")
    layer = model.model.layers[1]
    with bypass(model, "model.layers.1.mlp", inputs=batch) as handle:
        assert [edit.op for edit in handle.plan] == ["zero"]
        assert not layer.mlp(torch.ones(1, 1, 32)).any()
        without = logits(model, batch)
    layer.mlp.down_proj.weight.data.zero_()
    assert torch.equal(logits(model, batch), without)


def test_t5_block_0_makes_what_later_blocks_read() -> None:
    """The position bias: every later block takes it from the first."""
    model, batch = built("t5")
    for verb in (bypass, remove):
        with pytest.raises(RoleError) as error:
            verb(model, "encoder.block.0", inputs=batch)
        assert str(error.value) == (
            '"encoder.block.0" makes an output (1x4x12x12) that later layers read; bypassing it would lose it. '
            'Keep it, or bypass "encoder.block.[1:4]".'
        )


def test_a_downsampling_block_of_a_resnet_has_no_input_of_its_outputs_shape() -> None:
    model, batch = built("resnet")
    with pytest.raises(RoleError) as error:
        bypass(model, "layer2.0", inputs=batch)
    assert str(error.value) == (
        '"layer2.0" takes 2x8x16x16 and returns 2x12x8x8: no input has its output\'s shape. '
        'Keep it, bypass "layer2.[1:3]", or replace it: as_="shortcut", or as_="adapter" with data=[...].'
    )


def test_blooms_attention_and_mlp_hold_the_sum_and_become_the_identity() -> None:
    """They add the residual themselves: as zero, the whole stream would be lost."""
    model, batch = built("bloom")
    for part, weights in (("self_attention", "dense"), ("mlp", "dense_4h_to_h")):
        module = getattr(model.transformer.h[1], part)
        with bypass(model, f"transformer.h.1.{part}", inputs=batch) as handle:
            assert [edit.op for edit in handle.plan] == ["identity"]
            without = logits(model, batch)
        held = [parameter.detach().clone() for parameter in getattr(module, weights).parameters()]
        for parameter in getattr(module, weights).parameters():
            parameter.data.zero_()
        assert torch.equal(logits(model, batch), without)
        for parameter, value in zip(getattr(module, weights).parameters(), held, strict=True):
            parameter.data.copy_(value)


def test_berts_output_is_half_a_branch_and_half_a_norm() -> None:
    """It holds the last projection, the sum and the norm: neither zero nor identity is proved to be meant."""
    model, batch = built("bert")
    place = "bert.encoder.layer.3.output"
    with pytest.raises(RoleError) as error:
        bypass(model, place, inputs=batch)
    assert str(error.value) == (
        f'"{place}" is neither a block nor a proved residual branch. Say which you mean: as_="identity" or as_="zero".'
    )
    with bypass(model, place, inputs=batch, as_="zero") as handle:
        assert handle.calls == {place: 1}


def test_a_part_under_a_sandwich_norm_is_neither_block_nor_branch() -> None:
    """Gemma 3 norms a branch before it adds it: the post-norm is the branch; the attention itself must be asked for."""
    model, batch = built("gemma3")
    anatomy = anatomy_of(model, batch)
    roles = {
        part: anatomy.verdict(f"model.layers.1.{part}").role
        for part in ("self_attn", "mlp", "post_attention_layernorm", "post_feedforward_layernorm", "input_layernorm")
    }
    assert roles == {
        "self_attn": "unproved",
        "mlp": "unproved",
        "post_attention_layernorm": "branch",
        "post_feedforward_layernorm": "branch",
        "input_layernorm": "unproved",
    }


class Reading(nn.Module):
    """Reads attributes off a layer it does not call, as BERT heads, fused kernels and cache code do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.layers[1].attention_type = "full"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).to(layer.weight.dtype) * layer.in_features
        return x if self.layers[1].attention_type == "full" else -x


def test_attributes_of_a_bypassed_layer_stay_readable() -> None:
    model = weigh(Reading())
    x = torch.randn(2, 8)
    with bypass(model, "layers.1", inputs=x, as_="identity"):
        expected = (model.layers[2](model.layers[0](x) * 8 * 8)) * 8
        assert torch.equal(model(x), expected)
        assert model.layers[1].weight.shape == (8, 8)
        assert type(model.layers[1]) is nn.Linear


def test_a_removed_layer_keeps_plain_attributes_and_names_itself_for_others() -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act, self.last = nn.Linear(8, 8), nn.Hardtanh(-2, 2), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.act(self.first(x)) * self.act.max_val)

    model = weigh(Asking())
    x = torch.randn(2, 8)
    with bypass(model, "act", inputs=x, as_="identity") as handle:
        plan = handle.plan
    remove(model, plan, inputs=x)
    assert model.act.max_val == 2
    assert repr(model.act) == "Absent(removed=Hardtanh)"
    with pytest.raises(AttributeError, match=r"this Hardtanh was removed by identikit, and with it .weight"):
        _ = model.act.weight


def test_accelerates_forward_comes_back() -> None:
    """accelerate keeps a `forward` of its own in the instance's __dict__: deleting the override would lose it."""
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    model, batch = built("gpt2")
    seen: list[str] = []

    class Noting(ModelHook):
        def pre_forward(self, module: nn.Module, *args: object, **kwargs: object) -> tuple[object, object]:
            seen.append(type(module).__name__)
            return args, kwargs

    layer = model.transformer.h[1]
    add_hook_to_module(layer, Noting())
    full = logits(model, batch)
    before = Snapshot(model)
    with bypass(model, "transformer.h.1", inputs=batch):
        seen.clear()
        assert not torch.equal(logits(model, batch), full)
        assert seen == []
    assert before.changes(model) == []
    assert torch.equal(logits(model, batch), full)
    assert seen == ["GPT2Block"]
    remove_hook_from_module(layer)
    assert torch.equal(logits(model, batch), full)


def test_offloaded_weights_are_edited_where_the_layer_is_a_zero() -> None:
    """What runs a layer to learn its output's shape runs it the way accelerate does, weights fetched."""
    from accelerate import cpu_offload

    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 8)).eval()
    x = torch.randn(2, 8)
    expected = model[1](torch.zeros(2, 4))
    cpu_offload(model)
    with bypass(model, "0", inputs=x, as_="zero"):
        assert torch.equal(model(x), expected)


def test_a_bypass_hands_the_same_object_on_unless_somebody_writes_into_it() -> None:
    """nn.Identity returns its input: an in-place operation behind it would edit the caller's tensor."""

    class Adding(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x += 1
            return x

    model = nn.Sequential(nn.Linear(4, 4), Adding(), nn.Linear(4, 4))
    x = torch.randn(3, 4)
    held = x.clone()
    with bypass(model, "0", inputs=x):
        model(x)
        assert torch.equal(x, held)
    quiet = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    with bypass(quiet, "0", inputs=x):
        assert quiet[0](x) is x, "no copy where none is needed"


def test_a_block_with_in_place_activations_spares_the_callers_tensor() -> None:
    model, batch = built("in_place")
    x = batch.args[0]
    first = nn.Sequential(*model.layers)
    y = model.stem(x).detach()
    held = y.clone()
    with bypass(first, "0", inputs=y):
        assert torch.equal(y, held)
        first(y)
        assert torch.equal(y, held), "the bypassed first block stands between the caller and the second one's ReLU"


def test_handles_are_undone_in_the_opposite_order() -> None:
    model, batch = built("gpt2")
    before = Snapshot(model)
    full = logits(model, batch)
    first = bypass(model, "transformer.h.1", inputs=batch)
    second = bypass(model, "transformer.h.2", inputs=batch)
    with pytest.raises(PlanError) as error:
        first.undo()
    assert str(error.value) == ("a later edit is still applied to this model. Undo the handles in the opposite order.")
    second.undo()
    first.undo()
    first.undo()
    assert repr(first) == "Handle(transformer.h.1; undone)"
    assert before.changes(model) == []
    assert torch.equal(logits(model, batch), full)


def test_one_edit_over_another_is_as_both_together() -> None:
    model, batch = built("llama")
    with bypass(model, "model.layers.1", "model.layers.0", inputs=batch):
        both = logits(model, batch)
    for outer, inner in (("model.layers.1", "model.layers.0"), ("model.layers.0", "model.layers.1")):
        with bypass(model, outer, inputs=batch), bypass(model, inner, inputs=batch):
            assert torch.equal(logits(model, batch), both)
