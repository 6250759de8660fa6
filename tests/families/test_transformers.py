"""The transformers family: whose models, example inputs, caches, configuration, facts of layers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from identikit.batches import fingerprint
from identikit.families import family_of
from identikit.families.transformers import Transformers
from identikit.families.transformers_config import all_configs
from zoo import ZOO, Case, case
from zoo.from_transformers import TRANSFORMERS

FAMILY = Transformers()
NAMES = [entry[0] for entry in TRANSFORMERS]
CASES = [entry for entry in ZOO if entry.name in NAMES]
OTHERS = [entry for entry in ZOO if entry.name not in NAMES]


@pytest.mark.parametrize("entry", ZOO, ids=[entry.name for entry in ZOO])
def test_matches_models_of_the_library_and_no_others(entry: Case) -> None:
    model = entry.build()
    assert FAMILY.matches(model) == (entry.name in NAMES)
    assert family_of(model).name == ("transformers" if entry.name in NAMES else "plain")


def test_a_class_of_that_name_from_elsewhere_is_no_match() -> None:
    class PreTrainedModel(nn.Module):
        pass

    assert not FAMILY.matches(PreTrainedModel())


@pytest.mark.parametrize("entry", CASES, ids=NAMES)
def test_the_example_runs_and_leaves_no_trace(entry: Case) -> None:
    model: Any = entry.build()
    before = torch.get_rng_state()
    batch = FAMILY.example(model)
    assert batch is not None
    assert torch.equal(torch.get_rng_state(), before)
    again = FAMILY.example(model)
    assert again is not None
    assert fingerprint(batch) == fingerprint(again)
    assert set(entry.inputs(model).kwargs) <= set(batch.kwargs)
    with torch.no_grad():
        logits = batch.call(model)["logits"]
    assert batch.examples == len(logits) == 2
    assert logits.isfinite().all()


def test_the_example_keeps_away_from_special_tokens() -> None:
    model: Any = case("llama").build()
    special = {100, 101, 102, 200}
    model.config.pad_token_id, model.config.eos_token_id, model.generation_config.bos_token_id = 100, [101, 102], 200
    seen: set[int] = set()
    for size in (150, 256):
        model.config.vocab_size = size
        batch = FAMILY.example(model)
        assert batch is not None
        ids = set(batch.kwargs["input_ids"].flatten().tolist())
        assert max(ids) < size
        seen |= ids
    assert not seen & special


def test_the_example_has_the_dtype_and_device_of_the_model() -> None:
    model = case("vit").build().to(torch.bfloat16)
    batch = FAMILY.example(model)
    assert batch is not None
    assert batch.kwargs["pixel_values"].dtype == torch.bfloat16
    on_meta = FAMILY.example(case("bert").build().to("meta"))
    assert on_meta is not None
    assert on_meta.kwargs["input_ids"].device.type == "meta"


def test_of_several_ways_to_call_a_model_the_first_that_runs_is_taken() -> None:
    from transformers import CLIPConfig, CLIPModel

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**size, "vocab_size": 99, "max_position_embeddings": 8, "eos_token_id": 2}
    vision = {**size, "image_size": 16, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).train()
    batch = FAMILY.example(model)
    assert batch is not None
    assert {name: tuple(value.shape) for name, value in batch.kwargs.items()} == {
        "input_ids": (2, 8),
        "attention_mask": (2, 8),
        "pixel_values": (2, 3, 16, 16),
    }
    assert all(module.training for module in model.modules())


def test_no_example_where_none_can_be_made() -> None:
    class Strange(type(case("bert").build())):  # type: ignore[misc]
        main_input_name = "graph"

    model = case("bert").build()
    assert FAMILY.example(Strange(model.config)) is None


@pytest.mark.parametrize("entry", CASES, ids=NAMES)
def test_quiet_switches_every_cache_off_and_puts_back_what_was_there(entry: Case) -> None:
    model: Any = entry.build()
    holders = [*all_configs(model), *([model.generation_config] if model.can_generate() else [])]
    holders = [holder for holder in holders if hasattr(holder, "use_cache")]
    before = [dict(vars(holder)) for holder in holders]
    with FAMILY.quiet(model), torch.no_grad():
        assert not any(holder.use_cache for holder in holders)
        output = entry.inputs(model).call(model)
        assert output.get("past_key_values") is None
        assert output.get("cache_params") is None
    assert [dict(vars(holder)) for holder in holders] == before


def test_quiet_puts_back_an_absent_value_and_after_an_error() -> None:
    model: Any = case("llama").build()
    del vars(model.config)["use_cache"]
    assert model.config.use_cache is True  # the class's own

    def fail() -> None:
        with FAMILY.quiet(model):
            assert model.config.use_cache is False
            raise KeyError("in the pass")

    with pytest.raises(KeyError, match="in the pass"):
        fail()
    assert "use_cache" not in vars(model.config)


@pytest.mark.parametrize("entry", CASES, ids=NAMES)
def test_the_configuration_is_json_and_a_copy(entry: Case) -> None:
    model: Any = entry.build()
    configuration = FAMILY.configuration(model)
    assert configuration is not None
    assert json.loads(json.dumps(configuration)) == configuration
    assert configuration["model_type"] == model.config.model_type
    configuration["architectures"] = "another"
    (configuration.get("layer_types") or []).clear()
    assert (FAMILY.configuration(model) or {}).get("architectures") != "another"
    assert getattr(model.config, "layer_types", [1])


def test_layer_facts_say_which_layers_are_of_one_kind() -> None:
    facts = FAMILY.layer_facts(case("gemma3").build(), "model.layers", 4)
    assert facts[0] == facts[2] != facts[1] == facts[3]
    assert FAMILY.layer_facts(case("llama").build(), "model.layers", 4) == [None] * 4


def test_layer_facts_see_a_rule_as_well_as_a_list() -> None:
    from transformers import JambaConfig, JambaModel

    size = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 16}
    rule = {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 1}
    config = JambaConfig(**size, **rule, vocab_size=64, mamba_dt_rank=4, use_mamba_kernels=False)
    facts = FAMILY.layer_facts(JambaModel(config), "layers", 4)
    assert facts[0] == facts[2] != facts[1] == facts[3]
