"""A grown model saved: the library's own loader gives it back, and so does the plan, whatever was removed since."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.batches import Batch, tensors_of
from identikit.errors import PlanError, SaveError
from identikit.families import family_of
from identikit.surgery.carried import carried
from laws.test_decoding import CLOSE, DECODERS, off
from zoo import Case, case

SAVED = [
    ("llama", "model.layers"),
    ("gemma3", "model.layers"),
    ("mamba", "backbone.layers"),
    ("bert", "bert.encoder.layer"),
    ("nested", "stages.0"),
    ("resnet", "layer1"),
]


def grown(entry: Case, stack: str) -> nn.Module:
    """Layer 1 repeated, an identity behind layer 0, then the layer that was repeated removed."""
    model = entry.build()
    batch = entry.inputs(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ik.IdentikitWarning)
        ik.duplicate(model, stack, [1], inputs=batch)
        if entry.name != "bert":
            ik.insert(model, stack, after=[0], inputs=batch)
    place = f"{stack}.1" if entry.name == "bert" else f"{stack}.2"
    return ik.remove(model, place, inputs=batch)


def run(model: nn.Module, batch: Batch) -> list[torch.Tensor]:
    with torch.no_grad(), family_of(model).quiet(model):
        return tensors_of(batch.copied().call(model))


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
@pytest.mark.parametrize(("name", "stack"), SAVED)
def test_what_was_saved_is_the_model(
    name: str, stack: str, form: Literal["checkpoint", "plan"], tmp_path: Path
) -> None:
    entry = case(name)
    model = grown(entry, stack)
    batch = entry.inputs(model)
    ik.save(model, tmp_path / "saved", form, inputs=batch)
    plain = not family_of(model).self_contained
    again = ik.load(tmp_path / "saved", entry.build() if plain else None, inputs=batch if plain else None)
    assert all(torch.equal(a, b) for a, b in zip(run(again, batch), run(model, batch), strict=True))
    mine, others = carried(model), carried(again)
    assert mine is not None
    assert others is not None
    assert others.plan == mine.plan
    paths = [path for path, _ in model.named_modules()]
    assert [others.first_path(path) for path in paths] == [mine.first_path(path) for path in paths]
    if form == "checkpoint" and not plain:
        kind: Any = type(model)
        library, info = kind.from_pretrained(tmp_path / "saved", output_loading_info=True)
        assert not any(info.values())
        assert all(torch.equal(a, b) for a, b in zip(run(library, batch), run(model, batch), strict=True))
        assert name not in DECODERS or off(library, entry) < CLOSE


def test_a_constant_tied_to_the_number_is_saved_as_a_plan_alone(tmp_path: Path) -> None:
    from transformers import DiffLlamaConfig, DiffLlamaForCausalLM

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
    torch.manual_seed(0)
    model = DiffLlamaForCausalLM(DiffLlamaConfig(vocab_size=64, num_key_value_heads=2, **size)).eval()
    ids = {"input_ids": torch.randint(5, 60, (2, 5))}
    ik.insert(model, "model.layers", after=[0], inputs=ids)
    with pytest.raises(SaveError, match="its configuration cannot express what was put in"):
        ik.save(model, tmp_path / "checkpoint", inputs=ids)
    ik.save(model, tmp_path / "plan", "plan", inputs=ids)
    with torch.no_grad():
        again = ik.load(tmp_path / "plan")(**ids).logits
        assert torch.equal(again, model(**ids).logits)


def test_a_plan_for_another_model_is_refused_and_the_model_left_as_it_was(tmp_path: Path) -> None:
    entry = case("nested")
    model = grown(entry, "stages.0")
    ik.save(model, tmp_path / "saved", inputs=entry.inputs(model))
    other = case("dicts").build()
    keys = list(other.state_dict())
    with pytest.raises(PlanError, match=r"this plan was made for a Nested of another structure"):
        ik.load(tmp_path / "saved", other)
    assert list(other.state_dict()) == keys


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.work = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.work(x)


class Counted(nn.Module):
    """Runs as many layers as a number of its own says."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = self.num_layers = 3
        self.layers = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(self.num_layers):
            x = self.layers[number](x)
        return x


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Identity(), Counted()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_a_model_that_keeps_its_depth_runs_all_its_layers_when_loaded(
    form: Literal["checkpoint", "plan"], tmp_path: Path
) -> None:
    x = torch.randn(2, 4)
    model = Around().eval()
    ik.insert(model, "stages.1.layers", after=[0, 2], count=2, inputs=x)
    with pytest.warns(ik.IdentikitWarning):
        ik.duplicate(model, "stages.1.layers", [3], inputs=x)
    ik.save(model, tmp_path / "grown", form, inputs=x)
    again = ik.load(tmp_path / "grown", Around())
    assert (again.stages[1].num_layers, again.stages[1].depth, len(again.stages[1].layers)) == (8, 8, 8)  # type: ignore[index,union-attr,arg-type]
    assert torch.equal(again(x), model(x))


def test_numbers_that_another_model_lacks_are_told(tmp_path: Path) -> None:
    x = torch.randn(2, 4)
    model = Around().eval()
    ik.insert(model, "stages.1.layers", after=0, inputs=x)
    ik.save(model, tmp_path / "grown", inputs=x)
    other = Around()
    del other.stages[1].depth  # type: ignore[union-attr]
    with pytest.raises(PlanError, match="which Around has no layers for"):
        ik.load(tmp_path / "grown", other)
    assert (other.stages[1].num_layers, len(other.stages[1].layers)) == (3, 3)  # type: ignore[union-attr,arg-type]
