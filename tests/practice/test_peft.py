"""PEFT's adapters around a model, put there before or after layers went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import tiny
from identikit.errors import RoleError, SaveError
from practice.where import INPUTS, logits, steps, without

# PEFT asks transformers for a name that transformers has renamed: theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

KINDS = {"causal": "base_model.model.model.layers", "masked": "base_model.model.bert.encoder.layer"}
TARGETS = {"causal": ["q_proj", "v_proj"], "masked": ["query", "value"]}


def adapted(model: Any, kind: str = "causal", **options: Any) -> Any:
    """`model` with adapters whose weights matter."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(target_modules=TARGETS[kind], r=2, init_lora_weights=False, **options))


def adapters_of(model: Any) -> list[str]:
    return [name for name, _ in model.named_parameters() if "lora_" in name]


@pytest.mark.parametrize("kind", KINDS)
def test_sites_bypass_and_undo_by_the_wrappers_paths(kind: str) -> None:
    model = adapted(tiny.model(kind), kind)
    full = logits(model)
    assert [site.path for site in ik.sites(model)] == [f"{KINDS[kind]}.{layer}" for layer in range(4)]
    with ik.bypass(model, f"{KINDS[kind]}.0") as handle:
        assert handle.calls == {f"{KINDS[kind]}.0": 1}
        assert not torch.allclose(logits(model), full, atol=0.1)
    assert torch.equal(logits(model), full)


@pytest.mark.parametrize("layer", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_removal_takes_the_adapters_of_the_layer_and_brings_the_configuration_in_step(kind: str, layer: int) -> None:
    model = adapted(tiny.model(kind), kind)
    number = len(adapters_of(model))
    place = f"{KINDS[kind]}.{layer}"
    with ik.bypass(model, place):
        bypassed = logits(model)
    assert ik.remove(model, place) is model
    assert torch.equal(logits(model), bypassed)
    assert model.config.num_hidden_layers == model.base_model.model.config.num_hidden_layers == 3
    assert len(adapters_of(model)) == number * 3 // 4
    assert not any(name.startswith(f"{KINDS[kind]}.3.") for name in adapters_of(model))


def test_cached_decoding_goes_on_without_the_first_layer() -> None:
    model = ik.remove(adapted(tiny.model("causal")), f"{KINDS['causal']}.0")
    with torch.no_grad():
        whole = model(input_ids=tiny.IDS).logits
        first = model(input_ids=tiny.IDS[:, :4], use_cache=True)
        rest = model(input_ids=tiny.IDS[:, 4:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(rest.logits, whole[:, 4:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_removal_merged_is_a_plain_checkpoint(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    model = ik.remove(adapted(tiny.model(kind), kind), f"{KINDS[kind]}.1")
    expected = logits(model)
    ik.save(model.merge_and_unload(), tmp_path / "merged")
    loader = AutoModelForCausalLM if kind == "causal" else AutoModelForMaskedLM
    again = loader.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(again), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_a_model_with_adapters_is_not_saved_and_the_message_says_what_to_do(form: Any, tmp_path: Path) -> None:
    model = adapted(tiny.model("causal"))
    for each, name in ((model, "PeftModel"), (model.get_base_model(), "LlamaForCausalLM")):
        with pytest.raises(SaveError) as error:
            ik.save(each, tmp_path / "no", form)
        assert str(error.value) == (
            f'{name} holds the adapter "default", which no checkpoint of the model itself has. Merge it first: '
            "model = model.merge_and_unload(); or keep it apart: model.save_pretrained(folder) for the adapter alone, "
            "and ik.save(model.unload(), ...) for the model under it."
        )
    assert not (tmp_path / "no").exists()


def test_the_adapter_kept_apart_loads_onto_the_shortened_model(tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = ik.remove(adapted(tiny.model("causal"), layers_to_transform=[1, 3]), f"{KINDS['causal']}.2")
    expected = logits(model)
    assert model.peft_config["default"].layers_to_transform == [1, 2]
    model.save_pretrained(tmp_path / "adapter")
    ik.save(model.unload(), tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert torch.equal(logits(base), logits(without("causal", 2)))
    again = PeftModel.from_pretrained(base, tmp_path / "adapter")
    torch.testing.assert_close(logits(again), expected)


def test_an_adapter_that_names_single_layers_is_refused_and_nothing_is_changed() -> None:
    model = adapted(tiny.model("causal"), layers_to_transform=[1, 3], rank_pattern={r"layers.3.self_attn.q_proj": 3})
    full = logits(model)
    with pytest.raises(RoleError) as error:
        ik.remove(model, f"{KINDS['causal']}.2")
    assert str(error.value) == (
        'the adapter "default" speaks of single layers (rank_pattern: layers.3.self_attn.q_proj), whose numbers a '
        'removal from "model.layers" would shift. Remove before get_peft_model, or merge first: '
        "model = model.merge_and_unload()."
    )
    assert torch.equal(logits(model), full)
    assert model.config.num_hidden_layers == 4
    assert model.peft_config["default"].layers_to_transform == [1, 3]


def test_a_pruned_model_is_adapted_trained_merged_and_saved(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    pruned = ik.remove(tiny.model("causal"), "model.layers.1")
    model = adapted(pruned)
    frozen = pruned.model.layers[1].self_attn.q_proj.base_layer.weight.clone()
    first, second = steps(model)
    assert second < first
    assert torch.equal(frozen, pruned.model.layers[1].self_attn.q_proj.base_layer.weight)
    expected = logits(model)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged), expected, atol=1e-5, rtol=1e-5)
    ik.save(merged, tmp_path / "merged")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), logits(merged))
    assert ik.Plan.read(tmp_path / "merged" / "plan.json").places == ("model.layers.1",)


def test_what_was_removed_before_and_under_the_adapter_is_told_in_first_paths(tmp_path: Path) -> None:
    pruned = ik.remove(tiny.model("causal"), "model.layers.1")
    model = ik.remove(adapted(pruned), f"{KINDS['causal']}.1")  # the third of the model first loaded
    merged = model.merge_and_unload()
    ik.save(merged, tmp_path / "plan", "plan")
    assert ik.Plan.read(tmp_path / "plan" / "plan.json").places == ("model.layers.1", "model.layers.2")
    assert torch.equal(logits(ik.load(tmp_path / "plan")), logits(merged))


def test_an_edit_made_through_the_wrapper_is_seen_by_a_removal_inside_it() -> None:
    model = adapted(tiny.model("causal"))
    with (
        ik.bypass(model, f"{KINDS['causal']}.1"),
        pytest.raises(ik.IdentikitError, match="an edit is still applied to this model"),
    ):
        ik.remove(model.get_base_model(), "model.layers.2", inputs=INPUTS)
    assert model.config.num_hidden_layers == 4
