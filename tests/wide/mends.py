"""What the rules cannot know: values of single families, by model type. A dictionary is for a nested configuration.

`...` as a value leaves the argument to the class. Keys that are no attribute of the default configuration are handed
to the class as they are.
"""

from __future__ import annotations

from typing import Any

_ALTERNATING = ["sliding_attention", "full_attention"] * 2
_HEADS = {"head_dim": 16}
_GEMMA_3N = {"layer_types": _ALTERNATING, "num_kv_shared_layers": 0, "intermediate_size": 96, "laurel_rank": 16}
_GEMMA_4 = {"layer_types": _ALTERNATING, "global_head_dim": 32}
_INDEXER = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 16}
_INDEXER |= {"indexer_compress_ratio": 4}
_SWA = {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 4, "swa_q_lora_rank": 16, "swa_kv_lora_rank": 16}
_SWA |= {"swa_head_dim": 16, "swa_qk_nope_head_dim": 8, "swa_v_head_dim": 16}

MENDS: dict[str, dict[str, Any]] = {
    "albert": {"num_hidden_groups": 4},
    "bit": {"hidden_sizes": [32, 64, 96, 128], "embedding_size": 16, "num_groups": 4},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "cvt": {"depth": [3, 4, 5]},  # the constructor takes no stage of fewer layers than its number
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2, "head_dim": ..., "qk_head_dim": ...},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "layer_types": ...},
    "dots3_note_text": _SWA,
    "donut-swin": {"window_size": 2},
    "efficientnet": {"width_coefficient": 0.5, "depth_coefficient": 1.0, "hidden_dim": 640, "image_size": 64},
    "esm": {"vocab_size": 256, "pad_token_id": 0, "mask_token_id": 4},
    "falcon_h1": {"mamba_d_ssm": 64},
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 16}},
    "gemma3n": {"text_config": _GEMMA_3N},
    "gemma3n_text": _GEMMA_3N,
    "gemma4": {"text_config": _GEMMA_4},
    "gemma4_text": _GEMMA_4,
    "gemma4_unified": {"text_config": _GEMMA_4},
    "gemma4_unified_text": _GEMMA_4,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "attention_layers": ...},
    "hgnet_v2": {
        "stem_channels": [3, 8, 16],
        "stage_in_channels": [16, 32, 48, 64],
        "stage_mid_channels": [8, 16, 16, 32],
        "stage_out_channels": [32, 48, 64, 64],
        "stage_num_blocks": [1, 1, 3, 1],
        "stage_numb_of_layers": [2, 2, 2, 2],
        "hidden_sizes": [32, 48, 64, 64],
    },
    "hunyuan_v1_dense": _HEADS,
    "hunyuan_v1_moe": _HEADS,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "lilt": {"hidden_size": 96},
    "longcat_flash": {"head_dim": 8, "qk_head_dim": ..., "zero_expert_num": 2},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "ministral": _HEADS,
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32},
    "mobilevitv2": {"image_size": 64},
    "nemotron": {"num_key_value_heads": 2},
    "perceiver": {"num_latents": 8, "d_latents": 64, "num_self_attends_per_block": 4, "num_self_attention_heads": 4},
    "qwen4_exp": {"text_config": _INDEXER},
    "qwen4_exp_text": _INDEXER,
    "reformer": {"axial_pos_embds_dim": [16, 48], "axial_pos_shape": [8, 16]},
    "swin": {"window_size": 2},
    "t5": {"decoder_start_token_id": 0},
    "textnet": {"stem_out_channels": 16, "hidden_sizes": [16, 16, 32, 48, 64], "image_size": 64},
    "wav2vec2-bert": {"vocab_size": 256},
    "wav2vec2-conformer": {"vocab_size": 256},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}
