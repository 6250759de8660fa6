"""What configurations say of layers other than by a count and lists: rules, factors of the depth, weights in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.families.layered import follow, layered_dim
from identikit.families.transformers_rules import ruled
from wide import build


class Hybrid:
    """A configuration that works its layers out: attention at every `period`-th layer, from `offset` on."""

    def __init__(self, layers: int, period: int, offset: int) -> None:
        self.num_layers, self.attn_period, self.attn_offset = layers, period, offset

    @property
    def kinds(self) -> list[str]:
        every = range(self.num_layers)
        return ["attention" if each % self.attn_period == self.attn_offset else "mamba" for each in every]


def test_a_rule_is_found_that_says_what_is_left() -> None:
    assert ruled(Hybrid(4, 2, 1), [0, 2, 3], 4, "num_layers") == {"attn_period": 3, "attn_offset": 2}
    assert ruled(Hybrid(4, 2, 1), [0, 1], 4, "num_layers") is None, "the rule as it is says that already"


def test_where_no_rule_says_it_there_is_none() -> None:
    config = Hybrid(6, 3, 0)  # attention at 0 and 3
    assert ruled(config, [0, 1, 3, 4, 5], 6, "num_layers") is None, "attention at 0 and 2 of five, and not at 4"
    assert vars(config) == {"num_layers": 6, "attn_period": 3, "attn_offset": 0}


@pytest.mark.parametrize(
    ("kind", "place", "said"),
    [
        ("jamba", "model.layers.1", {"num_hidden_layers": 3, "expert_layer_period": 3, "expert_layer_offset": 2}),
        ("minicpm3", "model.layers.1", {"num_hidden_layers": 3, "scale_depth": 1.4 * 0.75**0.5}),
    ],
)
def test_checkpoints_that_a_rule_or_a_factor_makes_right(
    kind: str, place: str, said: dict[str, Any], tmp_path: Path
) -> None:
    model, batch = build("causal-lm", kind)
    ik.remove(model, place, inputs=batch)
    config: Any = model.config
    assert {name: getattr(config, name) for name in said} == pytest.approx(said)
    ik.save(model, tmp_path / "x", inputs=batch)  # loads it again with the library, and compares


def test_weights_beside_the_stack_lose_the_removed_layers_part(tmp_path: Path) -> None:
    model, batch = build("causal-lm", "gemma4_text")
    before = model.get_parameter("model.embed_tokens_per_layer.weight").detach().clone()
    ik.remove(model, "model.layers.1", inputs=batch)
    kept = before.unflatten(1, (4, -1))[:, [0, 2, 3]].flatten(1)
    assert torch.equal(model.get_parameter("model.embed_tokens_per_layer.weight"), kept)
    assert model.get_submodule("model.embed_tokens_per_layer").embedding_dim == kept.shape[1]
    ik.save(model, tmp_path / "x", inputs=batch)
    ik.save(model, tmp_path / "plan", "plan", inputs=batch)
    again = ik.load(tmp_path / "plan")
    with torch.no_grad():
        assert torch.equal(batch.call(again)["logits"], batch.call(model)["logits"])


@pytest.mark.parametrize(
    ("full", "left", "dim"),
    [((8, 12), (8, 9), 1), ((8, 12), (6, 12), 0), ((8, 12), (6, 9), None), ((8,), (5,), None)],
)
def test_which_dimension_counts_the_layers(full: tuple[int, ...], left: tuple[int, ...], dim: int | None) -> None:
    assert layered_dim(full, left, 3, 4) == dim


def test_parts_follow_their_layers_and_come_back() -> None:
    layer = nn.Linear(2, 8)
    weight = layer.weight
    undo = follow(layer, {"weight": 0}, [0, 2, 2], 4, {".out_features": 6})
    assert torch.equal(layer.weight, weight.unflatten(0, (4, 2))[[0, 2, 2]].flatten(0, 1))
    assert layer.out_features == 6
    undo()
    assert layer.weight is weight
    assert layer.out_features == 8
