"""What an nn.Identity in a slot does to a head, a checkpoint or a compiler, and what a second pass does to a cache."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import RoleError
from identikit.nn import Residual
from zoo import case, weigh


def test_without_its_head_a_model_would_generate_garbage_and_so_it_is_refused() -> None:
    """`lm_head = nn.Identity()` raises nothing: `generate` takes the largest feature for a token."""
    entry = case("llama")
    model = entry.build()
    with pytest.raises(RoleError, match=r'^"lm_head" takes 2x12x32 and returns 2x12x256: no input has its output'):
        ik.bypass(model, "lm_head", inputs=entry.inputs(model))


def test_the_head_of_a_convnext_holds_its_pooling() -> None:
    import timm

    model = timm.create_model("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), num_classes=5).eval()
    x, naive = torch.randn(2, 3, 64, 64), copy.deepcopy(model)
    naive.head = nn.Identity()
    with torch.no_grad():
        assert naive(x).shape == (2, 16, 2, 2)
        assert ik.features(model, inputs=x)(x).shape == (2, 16)


class Through(nn.Module):
    """A hand-written identity that takes what a layer takes."""

    def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return x


def test_a_layer_that_was_swapped_out_comes_back_with_fresh_weights(tmp_path: Path) -> None:
    """A log line is all that says so. Under a bypass the weights are there, after a removal the layer is not."""
    from transformers import BertConfig, BertModel

    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    model, ids = weigh(BertModel(BertConfig(vocab_size=64, **size))), torch.randint(5, 60, (2, 7))
    layer = model.encoder.layer[1]

    def loaded(name: str) -> Any:
        model.save_pretrained(tmp_path / name)
        return BertModel.from_pretrained(tmp_path / name).eval()

    model.encoder.layer[1] = Through()
    assert not torch.equal(loaded("swapped").encoder.layer[1].output.dense.weight, layer.output.dense.weight)
    model.encoder.layer[1] = layer
    with ik.bypass(model, "encoder.layer.1", inputs={"input_ids": ids}):
        assert torch.equal(loaded("bypassed").encoder.layer[1].output.dense.weight, layer.output.dense.weight)
    ik.remove(model, "encoder.layer.1", inputs={"input_ids": ids})
    with torch.no_grad():
        assert torch.equal(loaded("removed")(ids)[0], model(ids)[0])


def test_the_stream_of_a_class_token_block_is_its_second_argument() -> None:
    """CaiT calls its last blocks with (patches, class token): the first argument is the wrong one."""
    import timm

    size = {"depth": 1, "img_size": 32, "embed_dim": 24, "num_heads": 2, "num_classes": 5}
    model, x = weigh(timm.create_model("cait_xxs24_224", **size)), torch.randn(1, 3, 32, 32)
    with torch.no_grad(), ik.bypass(model, "blocks_token_only.0", inputs=x):
        without = model(x)
    model.blocks_token_only[0].register_forward_hook(lambda _, args, __: args[1])
    with torch.no_grad():
        assert torch.equal(model(x), without)


def test_an_empty_sequential_is_a_shortcut_though_it_is_false() -> None:
    shortcut, branch, x = nn.Sequential(), nn.Linear(4, 4), torch.randn(2, 4)
    assert not shortcut
    assert torch.equal(Residual(branch, shortcut=shortcut)(x), branch(x) + x)


CACHED: dict[str, Callable[[nn.Module, Any], Any]] = {
    "sites": lambda model, inputs: ik.sites(model, inputs=inputs),
    "bypass": lambda model, inputs: ik.bypass(model, "model.layers.1", inputs=inputs).undo(),
    "audit": lambda model, inputs: ik.audit(model, inputs),
    "scan": lambda model, inputs: ik.scan(model, [inputs, inputs], metrics="kl"),
}


@pytest.mark.parametrize("verb", CACHED)
def test_a_cache_among_the_inputs_holds_what_it_held(verb: str) -> None:
    """Each pass writes its tokens into the cache it is given: the next token's logits would be others, or an error."""
    model, ids = case("llama").build(), torch.randint(5, 60, (1, 6))
    with torch.no_grad():
        cache = model(input_ids=ids[:, :4], use_cache=True).past_key_values
        expected = model(input_ids=ids, use_cache=False).logits[:, 4:]
        inputs = {"input_ids": ids[:, 4:], "past_key_values": cache, "use_cache": True}
        CACHED[verb](model, inputs)
        assert cache.get_seq_length() == 4
        torch.testing.assert_close(model(**inputs).logits, expected)
