"""An edit after which the cache holds something else is refused; where it does not, the numbers are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import identikit as ik
from identikit.batches import Batch
from identikit.errors import IdentikitWarning, RoleError, SaveError
from identikit.families.transformers import Transformers
from identikit.surgery.decoding import Decoded, decoded_from
from laws.snapshot import Snapshot
from wide import build
from wide.decoding import off
from zoo import case

CLOSE = 1e-3


def test_the_cache_reads_its_length_from_the_only_attention() -> None:
    """LFM3: between convolutions; the library's cache takes its length from the first attention's place."""
    model, batch = build("causal-lm", "lfm3")
    assert [kind.split("_")[0] for kind in model.config.layer_types] == ["conv", "full", "sliding", "conv"]
    before = Snapshot(model)
    with pytest.raises(RoleError) as refusal:
        ik.bypass(model, "model.layers.1", inputs=batch)
    assert str(refusal.value) == (
        "with model.layers.1 bypassed, with a cache it decodes something else; it was left as it was. Keep a layer "
        "that feeds the cache, or use ik.remove. (It is not asked of a model that decodes without one: "
        "generation_config.use_cache = False.)"
    )
    with pytest.raises(RoleError, match=r"it no longer decodes with a cache \(ValueError: .*Keep a layer that feeds"):
        ik.remove(model, ["model.layers.1", "model.layers.2"], inputs=batch)
    assert before.changes(model) == []
    ik.remove(model, "model.layers.1", inputs=batch)
    assert off(model, batch, "step") < CLOSE
    assert off(model, batch, "generate") < CLOSE


def test_nothing_is_asked_of_a_model_that_decodes_without_a_cache() -> None:
    model, batch = build("causal-lm", "lfm3")
    model.generation_config.use_cache = False
    ik.bypass(model, "model.layers.1", inputs=batch).undo()
    ik.remove(model, ["model.layers.1", "model.layers.2"], inputs=batch)
    assert len(model.model.layers) == 2


@pytest.mark.parametrize("place", ["model.layers.0", "model.layers.1", "model.layers.3"])
def test_a_layer_with_two_places_in_the_cache(place: str) -> None:
    model, batch = build("causal-lm", "longcat_flash")
    with ik.bypass(model, place, inputs=batch):
        assert off(model, batch, "step") < CLOSE
        assert off(model, batch, "generate") < CLOSE
    ik.remove(model, place, inputs=batch)
    assert off(model, batch, "step") < CLOSE
    assert off(model, batch, "generate") < CLOSE


def test_rounding_in_few_bits_is_no_difference() -> None:
    entry = case("llama")
    model, batch = entry.build().bfloat16(), entry.inputs(entry.build())
    for place in ("model.layers.0", "model.layers.1"):
        ik.bypass(model, place, inputs=batch).undo()


def test_a_model_that_cannot_decode_is_not_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What generate raises before the edit says nothing about the edit."""
    entry = case("gpt2")
    model = entry.build()

    def fails(*args: Any, **kwargs: Any) -> None:
        raise KeyError("no tokens")

    monkeypatch.setattr(type(model), "generate", fails)
    with ik.bypass(model, "transformer.h.0", inputs=entry.inputs(model)) as handle:
        assert handle.calls == {"transformer.h.0": 1}
    ik.remove(model, "transformer.h.0", inputs=entry.inputs(model))


class Scaled(nn.Module):
    """A user's own: what a layer adds is divided by its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.layer_idx = number
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.linear(x) / (self.layer_idx + 1)


def test_numbers_with_a_meaning_are_left_with_a_warning_where_decoding_cannot_be_proved() -> None:
    model = nn.Sequential(*(Scaled(number) for number in range(3))).eval()
    inputs = torch.randn(2, 4)
    with pytest.warns(IdentikitWarning, match="mean more than a place in the cache, so they were left"):
        handle = ik.bypass(model, "0", inputs=inputs)
    with handle, torch.no_grad():
        assert torch.equal(model(inputs), model[2](model[1](inputs)))
        assert [layer.layer_idx for layer in model] == [0, 1, 2]


def test_a_folder_whose_model_would_decode_something_else_is_not_written(tmp_path: Path) -> None:
    """MiniMax: bypassed, its first layer keeps its number; gone, the library's cache is another one."""
    model, batch = build("causal-lm", "minimax")
    with pytest.raises(RoleError, match="with a cache it decodes something else"):
        ik.remove(model, "model.layers.0", inputs=batch)
    with (
        ik.bypass(model, "model.layers.0", inputs=batch),
        pytest.raises(SaveError, match=r"is not the same \(with a cache it decodes something else\)\. Nothing was"),
    ):
        ik.save(model, tmp_path / "saved", "plan", inputs=batch)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"num_return_sequences": 3, "num_beams": 4},
        {"stop_strings": ["end"]},
        {"sequence_bias": [[[5], 9.0]]},
        {"guidance_scale": 2.0},
        {"max_time": 1e-9},
        {"eos_token_id": list(range(100))},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_how_the_user_generates_does_not_stand_in_the_way(settings: dict[str, Any]) -> None:
    model, batch = build("causal-lm", "lfm3")
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    before = model.generation_config
    with pytest.raises(RoleError, match="with a cache it decodes something else"):
        ik.bypass(model, "model.layers.1", inputs=batch)
    assert model.generation_config is before
    assert all(getattr(before, name) == value for name, value in settings.items())


def ids(rows: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randint(3, 60, (rows, length), generator=torch.Generator().manual_seed(0))


def refused_with(model: nn.Module, inputs: Any) -> None:
    with pytest.raises(RoleError, match="with a cache it decodes something else"):
        ik.bypass(model, "model.layers.1", inputs=inputs)


def test_it_is_asked_whatever_the_example_gives() -> None:
    model, batch = build("causal-lm", "lfm3")
    tokens = batch.kwargs["input_ids"]
    refused_with(model, tokens)
    refused_with(model, (tokens, torch.ones_like(tokens)))
    refused_with(model, {"inputs_embeds": model.get_input_embeddings()(tokens).detach()})
    padded = torch.cat([torch.full_like(tokens, int(tokens[0, 0])), tokens], dim=1)
    mask = torch.cat([torch.zeros_like(tokens), torch.ones_like(tokens)], dim=1)
    refused_with(model, {"input_ids": padded, "attention_mask": mask, "labels": padded})


def gaps(model: nn.Module, **batch: torch.Tensor) -> list[float]:
    return [gap.size for gap in decoded_from(Transformers(), model, Batch(kwargs=batch, examples=2)).gaps]


def test_a_batch_to_train_on_says_nothing_about_what_is_decoded() -> None:
    """Labels, and a mask for as many tokens, belong to another length than the few that are decoded."""
    model = case("t5").build()
    tokens = ids()
    assert max(gaps(model, input_ids=tokens, labels=tokens[:, :5])) < CLOSE
    mask = torch.ones_like(tokens[:, :5])
    assert max(gaps(model, input_ids=tokens, decoder_input_ids=tokens[:, :5], decoder_attention_mask=mask)) < CLOSE


def test_an_example_that_fills_the_positions_leaves_room_for_the_steps() -> None:
    """On an accelerator a position too many ends the process."""
    config = GPT2Config(n_embd=16, n_head=2, n_layer=3, vocab_size=60, n_positions=16, bos_token_id=1, eos_token_id=2)
    model = GPT2LMHeadModel(config).eval()
    places: list[int] = []
    model.transformer.wpe.register_forward_pre_hook(lambda module, args: places.append(int(args[0].max())))
    found = gaps(model, input_ids=ids(length=16))
    assert max(found) < CLOSE
    assert max(places) < 16


def test_a_large_batch_costs_no_more_than_a_small_one() -> None:
    entry = case("llama")
    model = entry.build()
    sizes: list[tuple[int, ...]] = []
    model.get_input_embeddings().register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape)))
    assert max(gaps(model, input_ids=ids(16, 300) % 50)) < CLOSE
    assert max(rows for rows, _ in sizes) == 2
    assert max(length for _, length in sizes) < 80


class Answers:
    """A decoder that answers with given logits."""

    def __init__(self, plain: torch.Tensor, cached: torch.Tensor) -> None:
        self._plain, self._cached = plain, cached

    def generated(self) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(1, 4, dtype=torch.long), self._cached.float()

    def plain(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._plain

    def stepped(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._cached


def answered(plain: torch.Tensor, cached: torch.Tensor) -> Decoded:
    family = Transformers()
    family.decoder = lambda model, batch: Answers(plain, cached)  # type: ignore[assignment, return-value]
    return decoded_from(family, nn.Linear(2, 2), Batch())


@pytest.mark.parametrize(("dtype", "doubt"), [(torch.float32, True), (torch.float16, False), (torch.bfloat16, False)])
def test_a_few_steps_of_rounding_are_no_doubt(dtype: torch.dtype, doubt: bool) -> None:
    """In 16 bits all logits may happen to agree before the edit, and not after it."""
    plain = torch.linspace(-1, 1, 24).reshape(3, 1, 8)
    off_by = 2e-3 if dtype != torch.bfloat16 else 1.6e-2
    before, after = answered(plain.to(dtype), plain.to(dtype)), answered(plain.to(dtype), (plain + off_by).to(dtype))
    assert after.in_doubt is doubt
    assert (after.worse_than(before) is not None) is doubt
    assert answered(plain.to(dtype), (plain + 0.2).to(dtype)).worse_than(before) is not None


def test_scores_that_are_no_numbers_are_no_scores() -> None:
    plain = torch.linspace(-1, 1, 24).reshape(3, 1, 8)
    cached = plain.clone()
    cached[0, 0, 3] = float("-inf")  # generate may not choose this token
    assert not answered(plain, cached).in_doubt
    cached[1, 0, 2] = float("nan")
    broken = answered(plain, cached).worse_than(answered(plain, plain))
    assert broken is not None
    assert broken.why == "its scores are not finite"


def test_an_interrupt_while_it_is_asked_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = case("gpt2")
    model = entry.build()
    before = Snapshot(model)

    def stopped(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model), "generate", stopped)
    for edit in (ik.bypass, ik.remove):
        with pytest.raises(KeyboardInterrupt):
            edit(model, "transformer.h.0", inputs=entry.inputs(model))
        assert before.changes(model) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits_a_wrong_cache_is_told_from_rounding(dtype: torch.dtype) -> None:
    """MiniMax rounds far already (it has experts); without its first layer its cache is another one."""
    for seed in range(3):
        model, batch = build("causal-lm", "minimax", seed=seed)
        with pytest.raises(RoleError, match="with a cache it decodes something else"):
            ik.remove(model.to(dtype), "model.layers.0", inputs=batch)


def test_a_layer_that_another_handle_bypasses_feeds_no_cache() -> None:
    entry = case("llama")
    model = entry.build()
    batch = entry.inputs(model)
    before = Snapshot(model)
    for outer, inner in (("model.layers.1", "model.layers.0"), ("model.layers.0", "model.layers.1")):
        with ik.bypass(model, outer, inputs=batch):
            one = Snapshot(model)
            with ik.bypass(model, inner, inputs=batch):
                for way in ("step", "generate"):
                    assert off(model, batch, way) < CLOSE
            assert one.changes(model) == []
        assert before.changes(model) == []
