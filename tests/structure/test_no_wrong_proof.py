"""Over the zoo: whatever is proved to be a branch or a block of a transformer is one, by what its authors wrote."""

from __future__ import annotations

import pytest
import torch

from identikit.families.anatomy import anatomy_of
from zoo import case

# The truth, read off each model's code: what is added to the stream, and what already holds the sum.
BRANCHES = {
    "llama": {"self_attn", "self_attn.o_proj", "mlp", "mlp.down_proj"},
    "qwen3": {"self_attn", "self_attn.o_proj", "mlp", "mlp.down_proj"},
    "gemma3": {"post_attention_layernorm", "post_feedforward_layernorm"},
    "gpt2": {"attn", "attn.c_proj", "attn.resid_dropout", "mlp", "mlp.c_proj", "mlp.dropout"},
    "mixtral": {"self_attn", "self_attn.o_proj", "mlp", "mlp.experts"},
    "mamba": {"mixer", "mixer.out_proj"},
    "bert": {
        "attention.output.dense", "attention.output.dropout", "output.dense", "output.dropout",
    },
    "vit": {"attention", "attention.o_proj", "mlp", "mlp.fc2", "mlp.dropout", "dropout"},
    "bloom": {"self_attention.dense", "mlp.dense_4h_to_h"},
    "encoder_post_norm": {"self_attn", "linear2", "dropout1", "dropout2"},
    "encoder_pre_norm": {"self_attn", "linear2", "dropout1", "dropout2"},
    "nested": {"down"},
    "resnet": {"bn2"},
}  # fmt: skip
# Blocks: what already holds the sum (BLOOM's and BERT's attention); norms and activations, absent if the identity.
BLOCKS = {
    "bloom": {"self_attention", "mlp", "mlp.gelu_impl"},
    "bert": {"attention", "attention.output.LayerNorm", "output.LayerNorm", "intermediate.intermediate_act_fn"},
    "gpt2": {"mlp.act"},
    "vit": {"mlp.activation_fn"},
    "resnet": {"bn1"},
    "encoder_post_norm": {"norm2"},
}
MUST_BE_BLOCKS = {"bloom": {"self_attention", "mlp"}, "bert": {"attention"}}
MUST = {
    "llama": {"self_attn", "mlp"},
    "qwen3": {"self_attn", "mlp"},
    "gemma3": {"post_attention_layernorm", "post_feedforward_layernorm"},
    "gpt2": {"attn", "mlp"},
    "mixtral": {"self_attn", "mlp"},
    "mamba": {"mixer"},
    "bert": {"attention.output.dense", "output.dense"},
    "vit": {"attention", "mlp"},
}
DROPOUTS = "dropout"  # in eval mode a dropout hands its input on: as a block it is the identity, and rightly so


@pytest.mark.parametrize("name", BRANCHES)
def test_every_proof_is_true(name: str) -> None:
    entry = case(name)
    model = entry.build()
    anatomy = anatomy_of(model, entry.inputs(model))
    block = entry.blocks()[-2]
    proved: dict[str, set[str]] = {"branch": set(), "block": set(), "gate": set(), "unproved": set()}
    for path in anatomy.paths:
        if path.startswith(f"{block}.") and anatomy.watched.by_path.get(path):
            proved[anatomy.verdict(path).role].add(path.removeprefix(f"{block}."))
    assert proved["branch"] - BRANCHES[name] == set()
    blocks = {path for path in proved["block"] if DROPOUTS not in path and not _hands_through(anatomy, block, path)}
    assert blocks - BLOCKS.get(name, set()) == set()
    assert proved["gate"] == set()
    assert MUST.get(name, set()) <= proved["branch"]
    assert MUST_BE_BLOCKS.get(name, set()) <= proved["block"]


def _hands_through(anatomy: object, block: str, path: str) -> bool:
    """A shape-keeping child of an nn.Sequential is a block by definition; none of the blocks here holds one."""
    call = anatomy.watched.by_path[f"{block}.{path}"][0]  # type: ignore[attr-defined]
    return isinstance(call.output, torch.Tensor) and any(value is call.output for _, value in call.tensors_in())
