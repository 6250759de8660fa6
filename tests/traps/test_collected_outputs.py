"""`output_attentions`, `output_hidden_states` while a layer is out of action: every entry at its own layer's place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import RoleError
from identikit.structure.compare import equal
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import ZOO, Case, case

MODELS = [entry for entry in ZOO if entry.name in ("llama", "gpt2", "bert", "t5", "vit", "mamba", "gemma3", "qwen3",
                                                   "mixtral", "whisper", "bart", "bloom")]  # fmt: skip


PLACE = "model.decoder.layers.1"


def layers() -> Iterator[Any]:
    for entry in MODELS:
        for stack in entry.stacks:
            own = [path for path in entry.blocks() if path.rpartition(".")[0] == stack]
            for place in (own[0], own[1], own[-1]):
                yield pytest.param(entry, place, id=f"{entry.name}-{place}")


def built(entry: Case) -> nn.Module:
    model = entry.build()
    if entry.name != "mamba":
        model.set_attn_implementation("eager")  # type: ignore[operator]
    return model


def collected(model: nn.Module, entry: Case) -> dict[str, tuple[Any, ...]]:
    asked = {"output_hidden_states": True} | ({} if entry.name == "mamba" else {"output_attentions": True})
    with torch.no_grad():
        output = model(**entry.inputs(model).kwargs, **asked)
    return {name: value for name, value in output.items() if isinstance(value, tuple) and value}


@pytest.mark.parametrize(("entry", "place"), list(layers()))
def test_every_entry_stands_at_its_own_layers_place(entry: Case, place: str) -> None:
    model = built(entry)
    full = collected(model, entry)
    before = Snapshot(model)
    number = int(place.rpartition(".")[2])
    with bypass(model, place, inputs=entry.inputs(model)):
        found = collected(model, entry)
    assert before.changes(model) == []
    shorter = collected(remove(model, place, inputs=entry.inputs(model)), entry)
    assert {name: len(value) for name, value in found.items()} == {name: len(value) for name, value in full.items()}
    for name, value in found.items():
        if len(shorter[name]) == len(value):  # the other half of an encoder and decoder
            assert all(each is not None for each in value)
            continue
        if "attentions" in name:
            assert [at for at, each in enumerate(value) if each is None] == [number]
            kept = [each for each in value if each is not None]
        else:
            behind = number + (entry.name != "mamba")  # Mamba leaves out what stands in front of its first layer
            last = behind + 1 == len(value)  # the last entry is the one behind the final norm
            assert last or behind == 0 or torch.equal(value[behind], value[behind - 1])
            kept = [each for at, each in enumerate(value) if at != (behind - 1 if last else behind)]
        assert equal(kept, list(shorter[name]))


def test_an_attention_that_is_a_zero_has_none_at_its_place() -> None:
    entry = case("llama")
    model = built(entry)
    with bypass(model, "model.layers.1.self_attn", inputs=entry.inputs(model)):
        attentions = collected(model, entry)["attentions"]
    assert [at for at, each in enumerate(attentions) if each is None] == [1]
    assert len(attentions) == 4


def test_a_copy_of_the_edited_model_collects_likewise() -> None:
    entry = case("llama")
    model = built(entry)
    with bypass(model, "model.layers.1", inputs=entry.inputs(model)):
        again = copy.deepcopy(model)
    attentions = collected(again, entry)["attentions"]
    assert [at for at, each in enumerate(attentions) if each is None] == [1]
    assert not any(each is None for each in collected(model, entry)["attentions"])


def test_asked_for_in_the_configuration() -> None:
    entry = case("bert")
    model = built(entry)
    model.config.output_attentions = True  # type: ignore[union-attr]
    with bypass(model, "bert.encoder.layer.2", inputs=entry.inputs(model)), torch.no_grad():
        attentions = model(**entry.inputs(model).kwargs).attentions
    assert [at for at, each in enumerate(attentions) if each is None] == [2]


def test_an_older_model_whose_layers_always_hand_their_attention_out() -> None:
    from transformers import MegatronBertConfig, MegatronBertModel

    size = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    model = MegatronBertModel(MegatronBertConfig(vocab_size=64, **size)).eval()
    ids = torch.randint(10, 60, (2, 6))
    with bypass(model, "encoder.layer.1", inputs={"input_ids": ids}):
        attentions = model(input_ids=ids, output_attentions=True).attentions
    assert [each is None for each in attentions] == [False, True, False]


def test_an_older_model_whose_layer_cannot_tell_what_it_would_return_refuses() -> None:
    """Its layers hand their attention out only when asked: the checked pass did not see in which place."""
    from transformers import TrOCRConfig, TrOCRForCausalLM

    size = {"d_model": 32, "decoder_layers": 3, "decoder_attention_heads": 4, "decoder_ffn_dim": 48}
    model = TrOCRForCausalLM(TrOCRConfig(vocab_size=64, **size)).eval()
    ids = torch.randint(10, 60, (2, 6))
    asked = {"input_ids": ids, "output_attentions": True}
    with bypass(model, PLACE, inputs={"input_ids": ids}):
        model(input_ids=ids, output_hidden_states=True)
        with pytest.raises(RoleError) as error:
            model(**asked)
    assert str(error.value) == (
        f'"{PLACE}" is out of action and cannot say what it would return under output_attentions=True. '
        "Apply the edit with inputs that ask for it: inputs={..., 'output_attentions': True}."
    )
    with bypass(model, PLACE, inputs=asked):
        assert [each is None for each in model(**asked).attentions] == [False, True, False]
