"""A user's own module around a library's model; a model on the meta device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import identikit as ik
import tiny
from identikit.errors import InputsError
from practice.where import INPUTS, PLACE, logits, without
from zoo import weigh


class Scorer(nn.Module):
    """What most projects have: a backbone with a cache, and a head of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = tiny.model("causal").model
        self.head = weigh(nn.Linear(16, 2))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(input_ids=ids).last_hidden_state[:, -1])


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_the_backbones_cache_and_configuration_are_looked_after(layer: int, tmp_path: Path) -> None:
    model, place = Scorer(), f"backbone.layers.{layer}"
    with torch.no_grad():
        full = model(tiny.IDS)
        with ik.bypass(model, place, inputs=tiny.IDS):
            bypassed = model(tiny.IDS)
        assert torch.equal(model(tiny.IDS), full)
        ik.remove(model, place, inputs=tiny.IDS)
        assert model.backbone.config.num_hidden_layers == 3
        assert torch.equal(model(tiny.IDS), bypassed)
        ik.save(model, tmp_path / "short", inputs=tiny.IDS)
        again = ik.load(tmp_path / "short", model=Scorer(), inputs=tiny.IDS)
        assert again.backbone.config.num_hidden_layers == 3
        assert torch.equal(again(tiny.IDS), bypassed)


def test_a_wrapper_with_weights_of_its_own_has_to_say_what_it_takes() -> None:
    with pytest.raises(InputsError, match=r"what Scorer takes is not known. Pass one example of it"):
        ik.sites(Scorer())


def test_a_wrapper_that_hands_everything_on_takes_the_inner_example() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tiny.model("causal")

        def forward(self, **given: torch.Tensor) -> object:
            return self.inner(**given)

    model = Outer()
    ik.remove(model, f"inner.{PLACE}")
    assert torch.equal(logits(model), logits(without("causal", 1)))


@pytest.mark.parametrize("kind", ["causal", "masked", "classifier"])
def test_on_the_meta_device_sites_need_no_example_though_a_mask_has_no_values(kind: str) -> None:
    model = tiny.model(kind).to("meta")
    found = ik.sites(model)
    assert [site.ok for site in found] == [True] * 4
    assert found[0].parameters == next(iter(ik.sites(tiny.model(kind)))).parameters
    with pytest.raises(RuntimeError, match="meta"):  # only inside, and only truth values: numbers stay unknown
        bool(torch.ones(1, device="meta"))


def test_an_edit_inside_is_seen_from_outside() -> None:
    model = Scorer()
    with ik.bypass(model.backbone, "layers.1", inputs=INPUTS), pytest.raises(ik.IdentikitError, match="still applied"):
        ik.remove(model, "backbone.layers.2", inputs=tiny.IDS)
