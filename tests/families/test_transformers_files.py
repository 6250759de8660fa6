"""What lies in a saved folder: companions byte for byte, no weights of others, and a loader that misses nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from identikit.errors import SaveError
from identikit.families.transformers import Transformers
from identikit.families.transformers_files import bring_along
from zoo import case

FAMILY = Transformers()


def save(name: str, folder: Path, like: Path | None = None) -> Any:
    model = case(name).build()
    folder.mkdir(exist_ok=True)
    FAMILY.save(model, folder, like)
    return model


def test_tokenizer_and_licence_travel_and_nothing_else(tokenizer_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    saved = tmp_path / "saved"
    save("llama", saved, tokenizer_folder)
    names = {path.name for path in saved.iterdir()}
    own = {"config.json", "generation_config.json", "model.safetensors"}
    assert names - own == {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "LICENSE"}
    for name in names - own:
        assert (saved / name).read_bytes() == (tokenizer_folder / name).read_bytes()
    assert (saved / "model.safetensors").read_bytes() != b"something"
    tokenizer = AutoTokenizer.from_pretrained(saved, local_files_only=True)
    assert tokenizer("the cat sat")["input_ids"] == [4, 5, 6]
    assert tokenizer.apply_chat_template([{"role": "user", "content": "the"}], tokenize=False) == "the"


def test_a_generation_config_travels_only_where_the_model_has_none(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tokenizer_folder / "generation_config.json").write_text('{"max_new_tokens": 7}')
    (tmp_path / "causal").mkdir()
    (tmp_path / "base").mkdir()
    model: Any = case("llama").build()
    model.generation_config.max_new_tokens = 5
    FAMILY.save(model, tmp_path / "causal", tokenizer_folder)
    FAMILY.save(case("bert").build(), tmp_path / "base", tokenizer_folder)
    assert json.loads((tmp_path / "causal/generation_config.json").read_text())["max_new_tokens"] == 5
    assert json.loads((tmp_path / "base/generation_config.json").read_text())["max_new_tokens"] == 7


def test_code_travels_only_when_it_was_trusted(tokenizer_folder: Path, tmp_path: Path) -> None:
    for code in (False, True):
        folder = tmp_path / f"code-{code}"
        folder.mkdir()
        assert ("run.py" in bring_along(tokenizer_folder, folder, code=code)) is code


def test_folders_of_chat_templates_travel(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tokenizer_folder / "additional_chat_templates").mkdir()
    (tokenizer_folder / "additional_chat_templates/tools.jinja").write_text("{{ tools }}")
    bring_along(tokenizer_folder, tmp_path)
    assert (tmp_path / "additional_chat_templates/tools.jinja").read_text() == "{{ tools }}"


def test_links_are_followed_inside_the_folder_and_the_hub_cache_only(tmp_path: Path) -> None:
    cache, target = tmp_path / "models--x--y", tmp_path / "target"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots/abc").mkdir(parents=True)
    target.mkdir()
    (cache / "blobs/1").write_text("{}")
    (cache / "snapshots/abc/tokenizer.json").symlink_to("../../blobs/1")
    assert bring_along(cache / "snapshots/abc", target) == ["tokenizer.json"]
    assert not (target / "tokenizer.json").is_symlink()
    (tmp_path / "secret").write_text("secret")
    (cache / "snapshots/abc/vocab.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(SaveError, match=r'vocab\.txt" is a link to ".*secret", outside its folder; put the file'):
        bring_along(cache / "snapshots/abc", target)
    assert not (target / "vocab.txt").exists()


def test_saving_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model: Any = case("bert").build()
    before = dict(vars(model.config))
    FAMILY.save(model, tmp_path, None)
    assert vars(model.config) == before
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForSequenceClassification"]


def test_rebuilding_keeps_dtype_attention_and_quietness(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import logging

    model: Any = case("mixtral").build().to(torch.bfloat16)
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    FAMILY.save(model, tmp_path, None)
    logging.set_verbosity_info()
    try:
        again: Any = FAMILY.rebuild(tmp_path, model)
        assert logging.get_verbosity() == logging.INFO
    finally:
        logging.set_verbosity_error()
    assert again.dtype == torch.bfloat16
    assert again.config._attn_implementation == "eager"
    assert again.config._experts_implementation == "eager"
    assert not again.training
    assert capfd.readouterr() == ("", "")


def _without(weights: dict[str, torch.Tensor]) -> None:
    del weights["model.layers.1.mlp.up_proj.weight"], weights["model.layers.2.mlp.up_proj.weight"]


def _with_more(weights: dict[str, torch.Tensor]) -> None:
    weights["model.layers.4.mlp.up_proj.weight"] = torch.zeros(1)


def _with_another_shape(weights: dict[str, torch.Tensor]) -> None:
    weights["model.layers.1.mlp.up_proj.weight"] = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without, "has missing keys: model.layers.1.mlp.up_proj.weight and 1 more."),
        (_with_more, "has unexpected keys: model.layers.4.mlp.up_proj.weight."),
        (_with_another_shape, "has mismatched keys: model.layers.1.mlp.up_proj.weight."),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(damage: Any, message: str, tmp_path: Path) -> None:
    model = save("llama", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    damage(weights)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SaveError, match=re.escape(message)) as caught:
        FAMILY.rebuild(tmp_path, model)
    assert str(caught.value).startswith(f'LlamaForCausalLM loaded from "{tmp_path}"')
    assert str(caught.value).endswith('save the plan instead: format="plan".')


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    model = save("llama", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SaveError, match="does not load as LlamaForCausalLM"):
        FAMILY.rebuild(tmp_path, model)


def test_a_refusal_of_the_library_is_one_line(tmp_path: Path) -> None:
    model: Any = case("llama").build()
    model.generation_config.temperature = 0.5  # without do_sample: transformers does not write that
    before = dict(vars(model.config))
    with pytest.raises(SaveError, match=r"LlamaForCausalLM.save_pretrained refused: .*temperature") as caught:
        FAMILY.save(model, tmp_path, None)
    assert "\n" not in str(caught.value)
    assert vars(model.config) == before
