"""Small values for the numbers of a configuration, by the name of the attribute alone."""

from __future__ import annotations

import re
from typing import Any

LAYERS, WIDTH, HEADS, VOCABULARY, POSITIONS = 4, 64, 4, 256, 128

# Depths, under every name that they have; a lone 1 or 0 is no depth of a stack.
_DEPTH = re.compile(
    r"^(num_|n_)?(hidden_|encoder_|decoder_|speech_encoder_|t2u_encoder_|t2u_decoder_|text_encoder_|patcher_)*layers?$"
    r"|^(speech_|t2u_|text_)?(encoder|decoder)_layers$|^num_(encoder|decoder)_layers$|^depth$|^num_blocks$|^n_layer$"
)
_NO_DEPTH = re.compile(r"lstm|residual|adapter|feat_extract|dense|kv_shared|nextn|mtp|predict")

# The first pattern that fits the whole name gives the value; what fits none stays as it is.
_RULES: tuple[tuple[str, Any], ...] = (
    (r".*vocab_size(_per_layer_input)?|.*vocab", VOCABULARY),
    (r"num_(key_value|kv)_heads|.*_(key_value|kv)_heads|kv_n_heads", "kv"),
    (r"(linear_)?num_key_heads|linear_num_key_heads", 2),
    (r".*linear_num_(value_)?heads", HEADS),
    (r"mamba_(n|num)_heads|mamba_num_heads", 8),
    (r"n_mamba_heads", HEADS),
    (r"index(er)?_n_heads|index_num_heads", 2),
    (r"n_heads?|num_heads|(.*_)?attention_heads|num_attn_heads", HEADS),
    (r"qk_rope_head_dim|rotary_dim|qk_nope_head_dim|.*rope_head_dim", 8),
    (r"mamba_d_head|mamba_head_?dim", 16),
    (r"(.*_)?head_dim|d_kv|dim_head|d_head|kv_channels", 16),
    (r".*lora_rank|.*_lowrank|d_rel", 16),
    (r"(num|n)_experts_per_tok(en)?|moe_k|moe_topk?|moe_top_k|num_selected_experts|router_top_k", 2),
    (r"top_k_experts|num_zero_experts|zero_expert_num", 2),
    (r"n_routed_experts|(.*_)?num_(local_)?experts|moe_num_experts|.*expert_num", 4),
    (r"n_group|num_expert_group|n_expert_groups?", 2),
    (r"topk_group", 1),
    (r"(moe_)?(n|num)_shared_experts", 1),
    (r"first_k_dense_replace|num_dense_layers|moe_layer_start_index", 1),
    (r"expert_capacity", 64),
    (r"(.*_)?index_?topk", 16),
    (r"(.*moe.*|.*expert.*|shared_)intermediate_size|moe_ffn_hidden_size|expert_ffn_hidden_size", 32),
    (r"(.*_)?intermediate_size(_mlp)?|(.*_)?ffn_dim|d_ff|dim_ff|dff|n_inner|d_inner|ffn_hidden_size", 96),
    (r"mamba_d_ssm", 2 * WIDTH),
    (r"(.*_)?(state_size|d_state)", 8),
    (r"time_step_rank|mamba_dt_rank", 4),
    (r"n_groups|mamba_n_?groups", 1),
    (r"(mamba_)?chunk_size", 8),
    (r".*max_position_embeddings|n_positions|n_ctx|max_seq_len|max_sequence_length|context_length|.*model_max_length"
     r"|max_(source|target)_positions|log_scaling_n_floor|position_bias_max_distance|max_pos_emb", POSITIONS),
    (r"(sliding_)?window_size|sliding_window(_size)?|attention_window|attention_chunk_size|local_attention", 8),
    (r"image_size|img_size", "image"),
    (r"patch_size", 8),
    (r"mm_tokens_per_image", 16),
    (r"num_mel_bins", 16),
    (r"hidden_size_per_layer_input|ple_embed_dim", 16),
    (r"attention_hidden_size", 2 * WIDTH),
    (r"(.*_)?hidden_size|d_model|n_embd|dim|embed_dim|emb_dim|embedding_(size|dim)|word_embed_proj_dim|hidden_dim"
     r"|model_dim|out_hidden_size|d_embed|rnn_hidden_size|lru_width|encoder_cross_output_size"
     r"|hidden_size_global|vision_output_dim|adapter_out_dim|output_dim", WIDTH),
    (r".*(proj(ection)?_dim|projection_size|proj_size|codevector_dim)|(x)?vector_output_dim", 32),
    (r"query_pre_attn_scalar", 16),
    (r"context_size", 32),
    (r"attention_head_dim", 32),
    (r"bottleneck_size|intra_bottleneck_size|true_hidden_size", WIDTH),
)  # fmt: skip
_STAGED = ("depths", "hidden_sizes", "neck_hidden_sizes", "embed_dims", "stage_out_channels")
_COMPILED = tuple((re.compile(f"(?:{pattern})$"), value) for pattern, value in _RULES)


def is_depth(name: str, value: Any) -> bool:
    """Whether `name` counts the layers of a stack."""
    return whole(value) and value > 1 and bool(_DEPTH.match(name)) and not _NO_DEPTH.search(name)


def small(name: str, value: Any, around: dict[str, Any]) -> Any:
    """The small value for a whole number called `name`; `around`: the other attributes of its configuration."""
    if is_depth(name, value):
        return LAYERS
    found = next((given for pattern, given in _COMPILED if pattern.match(name)), value)
    if name == "embed_dim" and around.get("depths"):  # of the first stage
        found = 16
    if found == "image":  # stages halve it again and again
        found = 64 if any(isinstance(other, (list, tuple)) for other in map(around.get, _STAGED)) else 32
    if found == "kv":
        heads = next((around[each] for each in _head_names(name) if whole(around.get(each))), None)
        found = HEADS if value == heads else min(2, value)
    return min(found, value)


def _head_names(name: str) -> list[str]:
    """What the number of heads beside a number of key-value heads may be called."""
    return [name.replace("key_value_heads", "attention_heads"), "num_attention_heads", "n_heads", "n_head"]


def whole(value: object) -> bool:
    """Whether `value` is an int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)
