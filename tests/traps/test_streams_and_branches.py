"""Streams that are not the first argument, branches that add up to a block, parts that are added by halves."""

from __future__ import annotations

import pytest
import torch

import identikit as ik
from identikit.errors import RoleError
from identikit.families.anatomy import anatomy_of
from wide import build, run
from wide.compare import apart, results
from wide.reference import skipping
from wide.stacks import stacks_of
from zoo import case

pytestmark = pytest.mark.filterwarnings("ignore")  # what a library says while it is built is no matter of ours
TIGHT = 1e-6  # of the largest value

# Each block's outermost branches: gone together, nothing of a pre-norm block is left but its input.
PRE_NORM = {
    "llama": ("model.layers.1", ["self_attn", "mlp"]),
    "gpt2": ("transformer.h.1", ["attn", "mlp"]),
    "vit": ("vit.layers.1", ["attention", "mlp"]),
    "gemma3": ("model.layers.1", ["post_attention_layernorm", "post_feedforward_layernorm"]),
    "mamba": ("backbone.layers.1", ["mixer"]),
}


@pytest.mark.parametrize("name", PRE_NORM)
def test_without_all_its_branches_a_pre_norm_block_gives_its_input_back(name: str) -> None:
    entry = case(name)
    model = entry.build()
    batch = entry.inputs(model)
    block, parts = PRE_NORM[name]
    with ik.bypass(model, block, inputs=batch), torch.no_grad():
        absent = batch.copied().call(model).logits
    with ik.bypass(model, *(f"{block}.{part}" for part in parts), inputs=batch) as handle, torch.no_grad():
        assert {edit.op for edit in handle.plan} == {"zero"}
        assert torch.equal(batch.copied().call(model).logits, absent)


def test_without_all_its_branches_a_post_norm_block_gives_its_norms() -> None:
    entry = case("bert")
    model = entry.build()
    batch = entry.inputs(model)
    layer, seen = model.bert.encoder.layer[1], []
    hook = layer.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    places = [f"bert.encoder.layer.1.{part}" for part in ("attention.output.dense", "output.dense")]
    with ik.bypass(model, *places, inputs=batch), torch.no_grad():
        seen.clear()
        batch.copied().call(model)
    hook.remove()
    ((given, output),) = seen
    output = output[0] if isinstance(output, tuple) else output
    with torch.no_grad():
        assert torch.equal(output, layer.output.LayerNorm(layer.attention.output.LayerNorm(given)))
    assert not torch.allclose(output, given, atol=0.1), "no weights make such a block the identity"


@pytest.mark.parametrize(
    ("auto", "kind"),
    [("masked-lm", "mobilebert"), ("masked-lm", "rembert"), ("causal-lm", "codegen"), ("causal-lm", "gptj")],
)
def test_side_outputs_and_several_values_between_blocks_do_not_hide_the_stream(auto: str, kind: str) -> None:
    """MobileBERT's layers return a dozen tensors, the others attention weights that nothing reads."""
    model, batch = build(auto, kind)
    (stack,) = stacks_of(model, lambda: run(model, batch))
    for place in (stack.blocks[0], stack.blocks[-1]):
        with skipping(model, stack, [place]):
            expected = results(run(model, batch))
        with ik.bypass(model, place, inputs=batch):
            assert apart(results(run(model, batch)), expected) <= TIGHT


# The part, and the products whose zeros silence it: what counts is that a proof is true, or that identikit asks.
HALVED = {
    ("ctc", "wav2vec2-conformer"): ("wav2vec2_conformer.encoder.layers.1.ffn1", ["output_dense"]),
    ("image-classification", "swin"): ("swin.encoder.layers.0.blocks.0.mlp", ["fc2"]),
    ("causal-lm", "gemma2"): ("model.layers.1.self_attn", ["o_proj"]),
    ("causal-lm", "exaone4"): ("model.layers.1.mlp", ["down_proj"]),
}


@pytest.mark.parametrize("kind", HALVED, ids=lambda kind: kind[1])
def test_a_part_that_is_scaled_or_normed_before_it_is_added_is_right_or_asked_for(kind: tuple[str, str]) -> None:
    model, batch = build(*kind)
    place, products = HALVED[kind]
    if anatomy_of(model, batch).verdict(place).role != "branch":
        with pytest.raises(RoleError, match=r'Say which you mean: as_="identity" or as_="zero"\.$'):
            ik.bypass(model, place, inputs=batch)
        return
    with ik.bypass(model, place, inputs=batch):
        without = results(run(model, batch))
    for product in products:
        for value in model.get_submodule(f"{place}.{product}").parameters():
            value.data.zero_()
    assert apart(results(run(model, batch)), without) <= TIGHT
