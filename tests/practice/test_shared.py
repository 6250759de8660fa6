"""One layer in several places: ALBERT's, a list that holds a module twice, tied embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from identikit.errors import SaveError
from practice.where import PLACE, logits
from zoo import weigh

GROUP = "albert.encoder.albert_layer_groups.0"


def albert() -> Any:
    from transformers import AlbertConfig, AlbertForMaskedLM

    size = {"hidden_size": 16, "embedding_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    torch.manual_seed(0)
    return weigh(AlbertForMaskedLM(AlbertConfig(vocab_size=23, intermediate_size=24, **size)))


def embedded(model: Any) -> torch.Tensor:
    """ALBERT's logits without any layer."""
    with torch.no_grad():
        hidden = model.albert.embeddings(tiny.IDS)
        found: torch.Tensor = model.predictions(model.albert.encoder.embedding_hidden_mapping_in(hidden))
    return found


@pytest.mark.parametrize("place", [GROUP, f"{GROUP}.albert_layers.0"])
def test_albert_has_one_layer_and_out_of_action_it_is_in_all_its_calls(place: str) -> None:
    model = albert()
    full = logits(model)
    assert [site.path for site in ik.sites(model)] == [GROUP]
    with ik.bypass(model, place) as handle:
        assert handle.calls == {place: 4}
        torch.testing.assert_close(logits(model), embedded(model))
    assert torch.equal(logits(model), full)


@pytest.mark.parametrize("place", [GROUP, f"{GROUP}.albert_layers.0"])
def test_albert_without_its_layer_is_a_plan_and_no_checkpoint(place: str, tmp_path: Path) -> None:
    model = ik.remove(albert(), place)
    torch.testing.assert_close(logits(model), embedded(model))
    with pytest.raises(SaveError, match='save the plan instead: format="plan"'):
        ik.save(model, tmp_path / "no")
    ik.save(model, tmp_path / "plan", "plan")
    assert torch.equal(logits(ik.load(tmp_path / "plan")), logits(model))


def test_one_call_less_of_alberts_layer_is_its_own_setting() -> None:
    """The number of calls is in the configuration: no layer has to go for it."""
    model = albert()
    four = logits(model)
    model.config.num_hidden_layers = 3
    assert not torch.allclose(logits(model), four, atol=1e-3)


class Twice(nn.Module):
    """Four slots, two modules."""

    def __init__(self) -> None:
        super().__init__()
        one, two = (nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
        self.layers = nn.ModuleList([one, two, one, two])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("place", ["layers.0", "layers.2"])
def test_a_module_in_two_slots_goes_from_both(place: str, tmp_path: Path) -> None:
    model, x = Twice(), torch.randn(3, 8)
    two = model.layers[1]
    expected = two(two(x))
    assert [site.path for site in ik.sites(model, x)] == ["layers.0", "layers.1"]
    with ik.bypass(model, place, inputs=x) as handle:
        assert handle.calls == {"layers.0": 2}
        assert torch.equal(model(x), expected)
    ik.remove(model, place, inputs=x)
    assert len(model.layers) == 2
    assert model.layers[0] is model.layers[1] is two
    assert torch.equal(model(x), expected)
    ik.save(model, tmp_path / "short", inputs=x)
    assert torch.equal(ik.load(tmp_path / "short", model=Twice(), inputs=x)(x), expected)


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_stay_tied_and_others_apart(tied: bool, form: Any, tmp_path: Path) -> None:
    model = ik.remove(tiny.model("causal", tie_word_embeddings=tied), PLACE)
    ik.save(model, tmp_path / "short", form)
    again = ik.load(tmp_path / "short")
    assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
    assert torch.equal(logits(again), logits(model))
