"""A shortened stack, its configuration in step, saved and loaded by the library's own loader: the same outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from identikit.batches import Batch, tensors_of
from identikit.families.transformers import Transformers
from identikit.families.transformers_config import all_configs
from zoo import ZOO, case
from zoo.from_transformers import TRANSFORMERS

FAMILY = Transformers()
Shorten = Callable[[nn.Module, str, Sequence[int]], int]
NAMES = {entry[0] for entry in TRANSFORMERS}
CUTS = [
    pytest.param(entry.name, stack, gone, id=f"{entry.name}-{stack}-{gone}")
    for entry in ZOO
    if entry.name in NAMES
    for stack in entry.stacks
    for gone in ((0,), (1,), (3,), (1, 2))
    if not any(f"{stack}.{layer}" in entry.makes_needed for layer in gone)
]


def outputs(model: nn.Module, batch: Batch) -> list[torch.Tensor]:
    with torch.no_grad(), FAMILY.quiet(model):
        return tensors_of(dict(batch.call(model)))


def saved_and_loaded(model: nn.Module, folder: Path) -> nn.Module:
    folder.mkdir()
    FAMILY.save(model, folder, None)
    return FAMILY.rebuild(folder, model)


def without(depth: int, gone: Sequence[int]) -> list[int]:
    return [layer for layer in range(depth) if layer not in gone]


@pytest.mark.parametrize(("name", "stack", "gone"), CUTS)
def test_a_shortened_model_survives_saving(
    name: str, stack: str, gone: Sequence[int], shorten: Shorten, tmp_path: Path
) -> None:
    model = case(name).build()
    configs = all_configs(model)
    before = [copy.deepcopy(vars(config)) for config in configs]
    depth = shorten(model, stack, without(4, gone))
    undo = FAMILY.resize(model, stack, without(4, gone), depth)
    batch = case(name).inputs(model)
    cut = outputs(model, batch)
    again = saved_and_loaded(model, tmp_path / "saved")
    assert type(again) is type(model)
    assert not again.training
    assert all(torch.equal(one, other) for one, other in zip(outputs(again, batch), cut, strict=True))
    undo()
    assert [vars(config) for config in configs] == before


def test_encoder_and_decoder_and_again(shorten: Shorten, tmp_path: Path) -> None:
    model: Any = case("t5").build()
    for stack, keep, depth in (
        ("encoder.block", [0, 2, 3], 4),
        ("decoder.block", [0, 3], 4),
        ("encoder.block", [0, 2], 3),
    ):
        assert shorten(model, stack, keep) == depth
        FAMILY.resize(model, stack, keep, depth)
    assert (model.config.num_layers, model.config.num_decoder_layers) == (2, 2)
    assert model.encoder.config.num_layers == 2  # a copy of its own
    assert model.decoder.config.num_layers == 2
    batch = case("t5").inputs(model)
    again = saved_and_loaded(model, tmp_path / "saved")
    assert torch.equal(outputs(again, batch)[0], outputs(model, batch)[0])


def test_resizing_draws_no_random_numbers_and_keeps_the_weights(shorten: Shorten) -> None:
    model = case("mixtral").build()
    depth = shorten(model, "model.layers", [0, 3])
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    FAMILY.resize(model, "model.layers", [0, 3], depth)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_other_stacks_and_other_numbers_are_left_alone(shorten: Shorten) -> None:
    model: Any = case("bart").build()
    before = FAMILY.configuration(model) or {}
    depth = shorten(model, "model.decoder.layers", [1, 2])
    FAMILY.resize(model, "model.decoder.layers", [1, 2], depth)
    after = FAMILY.configuration(model) or {}
    assert {name for name in after if after[name] != before[name]} == {"decoder_layers"}


def test_a_stack_that_the_configuration_does_not_count_changes_nothing(shorten: Shorten) -> None:
    model: Any = case("t5").build()
    before = FAMILY.configuration(model)
    depth = shorten(model, "decoder.block.1.layer", [0, 2])
    FAMILY.resize(model, "decoder.block.1.layer", [0, 2], depth)
    assert FAMILY.configuration(model) == before


def test_a_model_that_cannot_be_built_is_changed_by_the_best_guess(shorten: Shorten) -> None:
    class Demanding(type(case("qwen3").build())):  # type: ignore[misc]
        def __init__(self, config: Any, needed: object) -> None:
            super().__init__(config)

    model: Any = Demanding(case("qwen3").build().config, object())
    undo = FAMILY.resize(model, "model.layers", [0, 3], shorten(model, "model.layers", [0, 3]))
    assert model.config.num_hidden_layers == len(model.config.layer_types) == 2
    assert len(outputs(model, case("qwen3").inputs(model))) == 1
    undo()
    assert model.config.num_hidden_layers == len(model.config.layer_types) == 4


def test_a_vision_tower_beside_a_text_tower_of_the_same_depth(shorten: Shorten, tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**size, "vocab_size": 99, "max_position_embeddings": 12, "eos_token_id": 2}
    vision = {**size, "image_size": 16, "patch_size": 8}
    model: Any = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    stack = next(path for path, _ in model.named_modules() if path.startswith("vision") and path.endswith(".layers"))
    FAMILY.resize(model, stack, [0, 2], shorten(model, stack, [0, 2]))
    assert (model.config.vision_config.num_hidden_layers, model.config.text_config.num_hidden_layers) == (2, 3)
    batch = FAMILY.example(model)
    assert batch is not None
    again = saved_and_loaded(model, tmp_path / "saved")
    assert torch.equal(outputs(again, batch)[0], outputs(model, batch)[0])


def test_one_stage_of_a_list_of_depths(shorten: Shorten, tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16], depths=[3, 3, 2], layer_type="basic", num_labels=3
    )
    model: Any = ResNetForImageClassification(config).eval()
    before = FAMILY.configuration(model) or {}
    stack = "resnet.encoder.stages.1.layers"
    FAMILY.resize(model, stack, [0, 2], shorten(model, stack, [0, 2]))
    after = FAMILY.configuration(model) or {}
    assert after["depths"] == [3, 2, 2]
    assert {name for name in after if after[name] != before[name]} == {"depths"}  # as many stages as there were blocks
    batch = FAMILY.example(model)
    assert batch is not None
    again = saved_and_loaded(model, tmp_path / "saved")
    assert torch.equal(outputs(again, batch)[0], outputs(model, batch)[0])


def test_a_backbone_renames_its_stages(shorten: Shorten, tmp_path: Path) -> None:
    from transformers import Dinov2Backbone, Dinov2Config

    size = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    model: Any = Dinov2Backbone(Dinov2Config(**size, out_features=["stage2", "stage4"])).eval()
    stack = next(path for path, _ in model.named_modules() if path.endswith("layer"))
    FAMILY.resize(model, stack, [0, 2, 3], shorten(model, stack, [0, 2, 3]))
    assert model.config.out_features == ["stage1", "stage3"]
    assert saved_and_loaded(model, tmp_path / "saved").config.out_indices == [1, 3]


def test_layers_that_differ_by_number_are_renumbered(shorten: Shorten, tmp_path: Path) -> None:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    size = {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "intermediate_size": 48}
    config = Qwen3MoeConfig(**size, **experts, vocab_size=64, mlp_only_layers=[1, 3])
    model: Any = Qwen3MoeForCausalLM(config).eval()
    FAMILY.resize(model, "model.layers", [1, 2, 3], shorten(model, "model.layers", [1, 2, 3]))
    assert model.config.mlp_only_layers == [0, 2]
    batch = FAMILY.example(model)
    assert batch is not None
    again = saved_and_loaded(model, tmp_path / "saved")
    assert torch.equal(outputs(again, batch)[0], outputs(model, batch)[0])


def test_overrides_of_single_layers_are_renumbered(shorten: Shorten, tmp_path: Path) -> None:
    from transformers import Gemma4UnifiedForCausalLM, Gemma4UnifiedTextConfig

    size = {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    kinds = ["sliding_attention", "sliding_attention", "full_attention", "full_attention"]
    config = Gemma4UnifiedTextConfig(**size, vocab_size=64, intermediate_size=48, sliding_window=4, layer_types=kinds)
    model: Any = Gemma4UnifiedForCausalLM(config).eval()
    widths = [layer.head_dim for layer in model.config.per_layer_config]
    assert len(set(widths)) == 2
    FAMILY.resize(model, "model.layers", [1, 2, 3], shorten(model, "model.layers", [1, 2, 3]))
    assert [layer.head_dim for layer in model.config.per_layer_config] == widths[1:]
    batch = FAMILY.example(model)
    assert batch is not None
    again = saved_and_loaded(model, tmp_path / "saved")
    assert torch.equal(outputs(again, batch)[0], outputs(model, batch)[0])


def test_a_repeated_pattern_is_written_out(shorten: Shorten, tmp_path: Path) -> None:
    from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM

    size = {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "lru_width": 32,
        "intermediate_size": 48,
    }
    model: Any = RecurrentGemmaForCausalLM(RecurrentGemmaConfig(**size, vocab_size=64, attention_window_size=4)).eval()
    FAMILY.resize(model, "model.layers", [0, 2, 3], shorten(model, "model.layers", [0, 2, 3]))
    assert list(model.config.block_types) == ["recurrent", "attention", "recurrent"]
    batch = FAMILY.example(model)
    assert batch is not None
    again = saved_and_loaded(model, tmp_path / "saved")
    assert torch.equal(outputs(again, batch)[0], outputs(model, batch)[0])
