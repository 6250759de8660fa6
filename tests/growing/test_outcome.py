"""What counts as the same output with more layers, how far another one is, and that each new layer is made use of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import identikit as ik
from growing.test_copied import WIDTH, Block, X
from identikit.errors import IdentikitWarning, RoleError
from identikit.growing.outcome import moved
from laws.snapshot import Snapshot
from zoo import case


class Taps(nn.Module):
    """Returns what the layers of these numbers return, and nothing else."""

    def __init__(self, *taps: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.taps = nn.ModuleList(Block() for _ in range(4)), taps

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                found.append(x)
        return found


@pytest.mark.parametrize("verb", ["insert", "duplicate"])
def test_a_copy_behind_all_that_is_read_is_refused(verb: str) -> None:
    model = Taps(1, 3).eval()
    before = Snapshot(model)
    with pytest.raises(RoleError) as refusal:
        getattr(ik, verb)(model, "blocks", **{"after" if verb == "insert" else "layers": -1}, inputs=X)
    assert str(refusal.value) == (
        'nothing reads what a copy behind "blocks.3" returns: Taps takes its output from the layers before it, so the '
        "copy would change nothing and never learn. It was left as it was. Copy a layer further in front."
    )
    assert before.changes(model) == []


def test_where_the_output_hangs_on_no_layer_yet_nothing_is_refused() -> None:
    """A last layer that starts at zero gives zero, whatever the stream."""
    head = nn.Linear(WIDTH, 2)
    nn.init.zeros_(head.weight)
    model = nn.Sequential(nn.Sequential(Block(), Block()), head).eval()
    ik.insert(model, "0", after=-1, inputs=X)
    assert len(model[0]) == 3


@pytest.mark.parametrize("collected", ["output_hidden_states", "output_attentions"])
def test_an_output_that_collects_something_of_every_layer_has_more_of_it(collected: str) -> None:
    entry = case("llama")
    model = entry.build()
    model.set_attn_implementation("eager")  # type: ignore[operator]
    setattr(model.config, collected, True)
    batch = entry.inputs(model)
    name = collected.removeprefix("output_")
    with torch.no_grad():
        before = batch.copied().call(model)
        ik.insert(model, "model.layers", after=[1], inputs=batch)
        after = batch.copied().call(model)
    assert torch.equal(after.logits, before.logits)
    assert len(after[name]) == len(before[name]) + 1
    with pytest.warns(IdentikitWarning) as said:
        ik.duplicate(model, "model.layers", [0], inputs=batch)
    assert "grew from 5 to 6 layers" in str(said[0].message)


def test_entries_of_other_layers_are_not_compared() -> None:
    a, b, c = (torch.full((2,), value) for value in (1.0, 5.0, 2.0))
    before: Any = {"last": c, "states": (a, c)}
    assert moved({"last": c, "states": (a, b, c)}, before) == 0.0
    assert moved({"last": c + 2, "states": (a, b, c + 2)}, before) == 1.0


def test_a_backbone_hands_out_the_same_stages(tmp_path: Path) -> None:
    """Its configuration names a stage for each layer: there are more of them, and the ones handed out moved back."""
    from transformers import Dinov2Backbone, Dinov2Config

    sizes: Any = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28}
    torch.manual_seed(0)
    model = Dinov2Backbone(Dinov2Config(**sizes, patch_size=14, mlp_ratio=2, out_features=["stage2", "stage4"])).eval()
    picture = torch.randn(1, 3, 28, 28)
    before = model(picture).feature_maps
    ik.insert(model, "encoder.layer", after=[1, 3], inputs={"pixel_values": picture})
    assert model.config.stage_names == ["stem", *(f"stage{number}" for number in range(1, 7))]
    assert model.config.out_features == ["stage3", "stage6"]
    assert all(torch.equal(one, other) for one, other in zip(model(picture).feature_maps, before, strict=True))
    again = ik.load(ik.save(model, tmp_path / "grown", inputs={"pixel_values": picture}))
    assert all(torch.equal(one, other) for one, other in zip(again(picture).feature_maps, before, strict=True))
