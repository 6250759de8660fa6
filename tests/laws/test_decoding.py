"""Law 5: decoding with a cache gives, step by step, the logits of decoding without one, whichever layers are gone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from identikit.errors import RoleError
from identikit.structure.compare import equal
from identikit.surgery.apply import bypass
from identikit.surgery.remove import remove
from laws.snapshot import Snapshot
from zoo import ZOO, Case, case, weigh

_NAMES = ("llama", "gpt2", "mamba", "gemma3", "qwen3", "mixtral", "bloom", "t5", "bart", "whisper")
DECODERS = [name for name in _NAMES if any(entry.name == name for entry in ZOO)]
PROMPT, STEPS = 5, 4
CLOSE = 2e-4  # of the largest logit; a wrong cache is off by ones


def stacks_of(entry: Case) -> Iterator[list[str]]:
    for stack in entry.stacks:
        yield [path for path in entry.blocks() if path.rpartition(".")[0] == stack]


def gone() -> Iterator[Any]:
    """The first, a middle and the last layer; the first two; of every stack."""
    for name in DECODERS:
        yield pytest.param(case(name), [], id=f"{name}-nothing")
        for own in stacks_of(case(name)):
            for places in (own[:1], own[1:2], own[-1:], own[:2]):
                yield pytest.param(case(name), places, id=f"{name}-{'+'.join(places)}")


def tokens(model: nn.Module) -> torch.Tensor:
    return torch.randint(10, 200, (2, PROMPT + STEPS), generator=torch.Generator().manual_seed(3))


def whole(model: nn.Module, entry: Case) -> torch.Tensor:
    """The logits of the last steps, all tokens at once and no cache."""
    with torch.no_grad():
        return model(**_call(model, entry, tokens(model)), use_cache=False).logits[:, PROMPT - 1 :]


def stepwise(model: nn.Module, entry: Case) -> torch.Tensor:
    """The same logits: the prompt, then one token at a time, with what the model handed out as its cache."""
    ids = tokens(model)
    found, cache = [], {}
    with torch.no_grad():
        for start, end in [(0, PROMPT), *((at, at + 1) for at in range(PROMPT, PROMPT + STEPS))]:
            where = _position(model, start) if cache else {}
            output = model(**_call(model, entry, ids[:, start:end]), **cache, **where, use_cache=True)
            name = "cache_params" if "cache_params" in output else "past_key_values"
            assert output[name] is not None, "the model hands out a cache"
            cache = {name: output[name]}
            found.append(output.logits[:, -1])
    return torch.stack(found, dim=1)


def _position(model: nn.Module, at: int) -> dict[str, torch.Tensor]:
    """Where in the text the next token stands, for a forward that asks: transformers 4's state space models do."""
    asks = {"cache_params", "cache_position"} <= set(inspect.signature(model.forward).parameters)
    return {"cache_position": torch.tensor([at])} if asks else {}


def _call(model: nn.Module, entry: Case, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    given = dict(entry.inputs(model).kwargs)
    if "decoder_input_ids" in given:
        return {**given, "decoder_input_ids": ids}
    return {"input_ids": ids}


def off(model: nn.Module, entry: Case) -> float:
    full = whole(model, entry)
    return float((stepwise(model, entry) - full).abs().max() / full.abs().max())


@contextmanager
def bypassed(model: nn.Module, places: list[str], batch: Any) -> Iterator[nn.Module]:
    if not places:
        yield model
        return
    with bypass(model, *places, inputs=batch):
        yield model


@pytest.mark.parametrize(("entry", "places"), list(gone()))
def test_a_bypassed_model_decodes_with_a_cache_as_without(entry: Case, places: list[str]) -> None:
    model = entry.build()
    with bypassed(model, places, entry.inputs(model)):
        assert off(model, entry) < CLOSE
    assert off(model, entry) < CLOSE, "and so does the model afterwards"


@pytest.mark.parametrize(("entry", "places"), [each for each in gone() if each.values[1]])
def test_a_removed_model_decodes_with_a_cache_as_without(entry: Case, places: list[str]) -> None:
    model = entry.build()
    remove(model, places, inputs=entry.inputs(model))
    assert off(model, entry) < CLOSE


def written_by_generate() -> Iterator[Any]:
    """Less Whisper, whose `generate` takes the cache apart, and T5's encoder: see the two tests below."""
    for each in gone():
        whole_t5 = str(each.id).startswith("t5-encoder")
        if each.values[1] and "+" not in str(each.id) and not str(each.id).startswith("whisper") and not whole_t5:
            yield each


@pytest.mark.parametrize(("entry", "places"), list(written_by_generate()))
def test_generate_sees_what_the_forward_pass_computes(entry: Case, places: list[str]) -> None:
    """`generate` makes its cache from the configuration; its logits are those of one pass over what it wrote."""
    model = entry.build()
    with bypass(model, *places, inputs=entry.inputs(model)):
        _generates(model, entry)
    remove(model, places, inputs=entry.inputs(model))
    _generates(model, entry)


def _generates(model: nn.Module, entry: Case) -> None:
    given = _call(model, entry, tokens(model)[:, :PROMPT])
    options = {"max_new_tokens": STEPS, "min_new_tokens": STEPS, "do_sample": False, "use_cache": True}
    with torch.no_grad():
        made = model.generate(**given, **options, output_logits=True, return_dict_in_generate=True)  # type: ignore[operator]
        full = model(**_call(model, entry, made.sequences[:, :-1]), use_cache=False).logits[:, -STEPS:]
    assert float((torch.stack(made.logits, dim=1) - full).abs().max() / full.abs().max()) < CLOSE


def test_a_t5_with_a_deeper_decoder_than_encoder_cannot_generate_in_transformers_itself() -> None:
    """Its cache counts the *encoder's* layers; a T5 that lost encoder layers decodes only with a cache of one's own."""
    from transformers import T5Config, T5ForConditionalGeneration

    size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_heads": 2, "num_layers": 2, "num_decoder_layers": 3}
    model = T5ForConditionalGeneration(T5Config(vocab_size=64, decoder_start_token_id=0, **size))
    with pytest.raises(IndexError):
        model.generate(torch.ones(1, 4, dtype=torch.long), max_new_tokens=2)


def test_whisper_generates_while_a_decoder_layer_is_bypassed() -> None:
    entry = case("whisper")
    model = entry.build()
    batch = entry.inputs(model)
    sound = batch.kwargs["input_features"]
    with bypass(model, "model.decoder.layers.0", inputs=batch):
        bypassed_ids = model.generate(sound)  # type: ignore[operator]
    remove(model, "model.decoder.layers.0", inputs=batch)
    assert torch.equal(model.generate(sound), bypassed_ids)  # type: ignore[operator]


def test_a_bypass_that_no_cache_can_hold_is_refused_and_the_removal_is_not() -> None:
    """Gemma 3: the cache's first place is a sliding one, so some sliding layer must live while layers are bypassed."""
    entry = case("gemma3")
    model = entry.build()
    sliding = ["model.layers.0", "model.layers.2"]
    with pytest.raises(RoleError) as refusal:
        bypass(model, *sliding, inputs=entry.inputs(model))
    assert str(refusal.value) == (
        '"model.layers.0" and "model.layers.2" are all the layers of their kind (layer_types=sliding_attention), '
        "and the cache's first place is of that kind: with them bypassed, decoding with a cache would break. "
        "Use ik.remove, which renews the configuration."
    )
    remove(model, sliding, inputs=entry.inputs(model))
    assert off(model, entry) < CLOSE


def rwkv() -> nn.Module:
    """Its first block alone has one more norm, chosen by the block's number."""
    from transformers import RwkvConfig, RwkvForCausalLM

    size = {"hidden_size": 32, "attention_hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    return weigh(RwkvForCausalLM(RwkvConfig(vocab_size=64, context_length=32, **size)))


def test_numbers_that_mean_more_than_a_place_in_the_cache_are_left_alone() -> None:
    """And so no live layer feeds the cache's first place: what generates before must generate afterwards."""
    model = rwkv()
    inputs = {"input_ids": torch.randint(10, 60, (2, 6))}
    before = Snapshot(model)
    with pytest.raises(RoleError, match=r"it no longer decodes with a cache \(TypeError: 'NoneType'"):
        bypass(model, "rwkv.blocks.0", inputs=inputs)
    with pytest.raises(RoleError, match=r"removed by identikit, and with it \.attention"):
        remove(model, "rwkv.blocks.0", inputs=inputs)
    assert before.changes(model) == []
    model.generation_config.use_cache = False
    before = Snapshot(model)
    with bypass(model, "rwkv.blocks.0", inputs=inputs):
        assert [block.layer_id for block in model.rwkv.blocks] == [0, 1, 2]
    assert before.changes(model) == []
    with bypass(model, "rwkv.blocks.1", inputs=inputs) as handle:
        expected = handle.output.logits
    with torch.no_grad():
        assert equal(remove(model, "rwkv.blocks.1", inputs=inputs)(**inputs, use_cache=False).logits, expected)
    remove(model, "rwkv.blocks.0", inputs=inputs)
    assert [type(block).__name__ for block in model.rwkv.blocks] == ["Absent", "RwkvBlock"]


INNER = [
    ("gpt2", ["transformer.h.0.attn"]),
    ("gpt2", ["transformer.h.0", "transformer.h.1.attn"]),
    ("gpt2", ["transformer.h.1.attn"]),
    ("llama", ["model.layers.0.self_attn"]),
    ("llama", ["model.layers.1.self_attn"]),
    ("llama", ["model.layers.1.self_attn", "model.layers.0.self_attn"]),
    ("mixtral", ["model.layers.0.self_attn"]),
    ("bloom", ["transformer.h.0.self_attention"]),
    ("qwen3", ["model.layers.0.self_attn"]),
    ("gemma3", ["model.layers.0.self_attn"]),
]


@pytest.mark.parametrize(("name", "places"), INNER)
def test_attention_alone_out_of_action(name: str, places: list[str]) -> None:
    """The first layer then writes nothing into the cache, whose length is read at its first place."""
    entry = case(name)
    model = entry.build()
    as_ = "zero" if name in ("gemma3", "bloom") else None  # a norm comes after it, or it adds the stream itself
    with bypass(model, *places, inputs=entry.inputs(model), as_=as_):
        assert off(model, entry) < CLOSE
    removed = remove(model, places, inputs=entry.inputs(model), as_=as_)
    assert off(removed, entry) < CLOSE


@pytest.mark.parametrize("places", ["transformer.h.*.attn", "transformer.h.*"])
@pytest.mark.parametrize("verb", [bypass, remove])
def test_nothing_left_to_feed_the_cache_is_refused(places: str, verb: Any) -> None:
    entry = case("gpt2")
    model = entry.build()
    before = whole(model, entry)
    with pytest.raises(RoleError, match=r"decoding with a cache would break\. Keep one"):
        verb(model, places, inputs=entry.inputs(model))
    assert torch.equal(whole(model, entry), before)


@pytest.mark.parametrize("verb", [bypass, remove])
def test_the_only_layer_that_is_left_feeds_the_cache(verb: Any) -> None:
    """Of one layer nothing tells which attribute is its number."""
    entry = case("gpt2")
    model = entry.build()
    depth = len(model.transformer.h)
    remove(model, f"transformer.h.[1:{depth}]", inputs=entry.inputs(model))
    for place in ("transformer.h.0", "transformer.h.0.attn"):
        with pytest.raises(RoleError, match=r"decoding with a cache would break\. Keep one"):
            verb(model, place, inputs=entry.inputs(model))
    verb(model, "transformer.h.0.mlp", inputs=entry.inputs(model))
    assert off(model, entry) < CLOSE
