"""The transformers of the zoo: real architectures from config classes, tiny; padded where they take a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from identikit.batches import Batch

VOCABULARY = 256
WIDTH = 32
TOKENS = 12
PADDING = 3
"""The second of the two rows ends in this many padding tokens."""


def ids(*, tokens: int = TOKENS, seed: int = 0) -> torch.Tensor:
    """Token ids [2, tokens], away from the special ones at the start of the vocabulary."""
    return torch.randint(10, VOCABULARY, (2, tokens), generator=torch.Generator().manual_seed(seed))


def mask(*, tokens: int = TOKENS) -> torch.Tensor:
    """The attention mask [2, tokens] of a full row and a row with padding at its end."""
    lengths = torch.tensor([tokens, tokens - PADDING])
    return (torch.arange(tokens) < lengths[:, None]).long()


def text(model: nn.Module) -> Batch:
    """Two rows of tokens with real padding."""
    return Batch(kwargs={"input_ids": ids(), "attention_mask": mask()}, examples=2)


def text_to_text(model: nn.Module) -> Batch:
    """The same for an encoder and a decoder; what is decoded has another length."""
    return Batch(
        kwargs={"input_ids": ids(), "attention_mask": mask(), "decoder_input_ids": ids(tokens=7, seed=1)}, examples=2
    )


def image(model: nn.Module) -> Batch:
    """Two pictures of the size that the config names."""
    config: Any = model.config
    size = (2, config.num_channels, config.image_size, config.image_size)
    return Batch(kwargs={"pixel_values": torch.randn(size, generator=torch.Generator().manual_seed(0))}, examples=2)


def speech(model: nn.Module) -> Batch:
    """Two spectrograms and the start of what was said."""
    config: Any = model.config
    size = (2, config.num_mel_bins, 2 * config.max_source_positions)
    sound = torch.randn(size, generator=torch.Generator().manual_seed(0))
    return Batch(kwargs={"input_features": sound, "decoder_input_ids": ids(tokens=7, seed=1)}, examples=2)


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_common(), intermediate_size=48, num_key_value_heads=2))


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    special = {"bos_token_id": 1, "eos_token_id": 2}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=4, n_head=4, n_positions=64, **special)
    )


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(**_common(), intermediate_size=48, max_position_embeddings=64, num_labels=3)
    )


def t5() -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    size = {"d_model": WIDTH, "d_kv": 8, "d_ff": 48, "num_heads": 4, "num_layers": 4, "num_decoder_layers": 4}
    return T5ForConditionalGeneration(T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **size))


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    size = {"hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48}
    return ViTForImageClassification(ViTConfig(**size, image_size=16, patch_size=4, num_labels=3))


def mamba() -> nn.Module:
    from transformers import MambaConfig, MambaForCausalLM

    size = {"hidden_size": WIDTH, "num_hidden_layers": 4, "state_size": 4, "time_step_rank": 4}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, **size, **special))


def gemma3() -> nn.Module:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    size = {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8}
    return Gemma3ForCausalLM(Gemma3TextConfig(**_common(), **size, sliding_window=4, layer_types=kinds))


def qwen3() -> nn.Module:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**_common(), intermediate_size=48, num_key_value_heads=2, head_dim=8))


def mixtral() -> nn.Module:
    from transformers import MixtralConfig, MixtralForCausalLM

    size = {"intermediate_size": 48, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    return MixtralForCausalLM(MixtralConfig(**_common(), **size))


def whisper() -> nn.Module:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    size = {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 32}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    return WhisperForConditionalGeneration(WhisperConfig(**_both(), **size, **special))


def bart() -> nn.Module:
    from transformers import BartConfig, BartForConditionalGeneration

    return BartForConditionalGeneration(BartConfig(**_both(), max_position_embeddings=64))


def bloom() -> nn.Module:
    from transformers import BloomConfig, BloomForCausalLM

    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, n_layer=4, n_head=4, **special))


Entry = tuple[str, Callable[[], nn.Module], Callable[[nn.Module], Batch], tuple[str, ...], tuple[str, ...]]
TRANSFORMERS: tuple[Entry, ...] = (
    ("llama", llama, text, ("model.layers",), ()),
    ("gpt2", gpt2, text, ("transformer.h",), ()),
    ("bert", bert, text, ("bert.encoder.layer",), ()),
    ("t5", t5, text_to_text, ("encoder.block", "decoder.block"), ("encoder.block.0", "decoder.block.0")),
    ("vit", vit, image, ("vit.layers|vit.encoder.layer",), ()),
    ("mamba", mamba, text, ("backbone.layers",), ()),
    ("gemma3", gemma3, text, ("model.layers",), ()),
    ("qwen3", qwen3, text, ("model.layers",), ()),
    ("mixtral", mixtral, text, ("model.layers",), ()),
    ("whisper", whisper, speech, ("model.encoder.layers", "model.decoder.layers"), ()),
    ("bart", bart, text_to_text, ("model.encoder.layers", "model.decoder.layers"), ()),
    ("bloom", bloom, text, ("transformer.h",), ()),
)
"""Name, builder, inputs, stacks, blocks that must be refused because later blocks read what they make."""


def _common() -> dict[str, Any]:
    size = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4}
    return {**size, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _both() -> dict[str, Any]:
    size = {"vocab_size": VOCABULARY, "d_model": WIDTH, "encoder_layers": 4, "decoder_layers": 4}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    return {**size, **heads, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
