"""An edit after which the cache holds something else is refused; where it does not, the numbers are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import IdentikitWarning, RoleError, SaveError
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
