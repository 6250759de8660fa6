"""timm's models: an example, whole blocks of stages, removal that timm itself loads, the plan where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import identikit as ik
from identikit.errors import SaveError
from identikit.families import family_of
from identikit.families.timm import Timm
from identikit.families.timm_construct import current, told_to_class
from identikit.families.timm_proposals import Cut, proposals
from identikit.places import expand

SWIN = {
    "img_size": 64,
    "window_size": 4,
    "embed_dim": 8,
    "depths": (2, 2, 4, 2),
    "num_heads": (1, 1, 2, 2),
    "num_classes": 5,
}
SAID: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("test_resnet", {}, "layer1.0", {}),
    ("test_convnext", {"num_classes": 3}, "stages.2.blocks.1", {"depths": [1, 2, 3, 2]}),
    ("test_vit", {"depth": 3, "drop_path_rate": 0.1}, "blocks.[0,2]", {"depth": 1}),
    ("test_mambaout", {}, "stages.2.blocks.0", {"depths": [1, 1, 2, 1]}),
    ("swin_tiny_patch4_window7_224", SWIN, "layers.2.blocks.[0:2]", {"depths": [2, 2, 2, 2]}),
]
"""Architecture, its arguments, what is removed, and the arguments that then say it."""
UNSAID = [
    ("test_convnext", {}, "stages.0"),  # a whole stage
    ("swin_tiny_patch4_window7_224", SWIN, "layers.0.blocks.0"),  # windows are shifted in every second block
]


def made(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The model with weights in which every layer makes a difference."""
    torch.manual_seed(0)
    model = timm.create_model(name, **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def native(model: Any) -> torch.Tensor:
    """A picture of the model's own size."""
    size = model._traits.get("img_size") or model.pretrained_cfg["input_size"][-2:]
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))


def by_hand(model: nn.Module, place: str) -> torch.Tensor:
    """What the model computes while the layers at `place` return copies of their input."""
    paths = expand(place, [path for path, _ in model.named_modules() if path])
    for path in paths:
        model.get_submodule(path).__dict__["forward"] = lambda x, *args, **kwargs: x.clone()
    try:
        return model(native(model))
    finally:
        for path in paths:
            del model.get_submodule(path).__dict__["forward"]


@pytest.mark.parametrize(("name", "arguments", "place", "said"), SAID, ids=[case[0] for case in SAID])
@torch.no_grad()
def test_removed_and_loaded_by_timm(
    name: str, arguments: dict[str, Any], place: str, said: dict[str, Any], tmp_path: Path
) -> None:
    model = made(name, arguments)
    picture, whole, expected = native(model), model(native(model)), by_hand(model, place)
    assert not torch.equal(whole, expected)
    with ik.bypass(model, place):
        assert torch.equal(model(picture), expected)
    assert torch.equal(model(picture), whole)
    ik.remove(model, place)
    folder = ik.save(model, tmp_path / "saved")
    again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert torch.equal(again(picture), expected)
    assert str(tmp_path) not in json.dumps(Timm().configuration(again))
    assert said.items() <= json.loads((folder / "config.json").read_text())["model_args"].items()
    assert torch.equal(ik.load(folder)(picture), expected)


@pytest.mark.parametrize(("name", "arguments", "place"), UNSAID, ids=[case[0] for case in UNSAID])
@torch.no_grad()
def test_what_no_argument_says_is_a_plan(name: str, arguments: dict[str, Any], place: str, tmp_path: Path) -> None:
    model = made(name, arguments)
    expected = by_hand(model, place)
    ik.remove(model, place)
    with pytest.raises(SaveError, match='format="plan"'):
        ik.save(model, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    folder = ik.save(model, tmp_path / "saved", format="plan")
    assert torch.equal(ik.load(folder)(native(model)), expected)
    # timm takes any weights beside a config.json for the full model's.
    with pytest.raises(FileNotFoundError):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert not Timm().owns(folder)


def test_a_small_example_does_not_hide_the_windows(tmp_path: Path) -> None:
    """At 64 pixels a window of 16 patches is the whole picture, and no block shifts it; the checkpoint is for 128."""
    size = {"img_size": 128, "window_size": 16, "strict_img_size": False}
    model = made("swin_tiny_patch4_window7_224", SWIN | size)
    example = Timm().example(model)
    assert example is not None
    assert example.args[0].shape == (2, 3, 64, 64)
    ik.remove(model, "layers.0.blocks.0")
    with pytest.raises(SaveError, match='format="plan"'):
        ik.save(model, tmp_path / "saved")


def test_examples() -> None:
    with torch.device("meta"):
        fixed = timm.create_model("test_vit", img_size=48, in_chans=1)
        free = timm.create_model("resnet18")
    assert Timm().example(fixed).args[0].shape == (2, 1, 48, 48)  # type: ignore[union-attr]
    assert Timm().example(free).args[0].shape == (2, 3, 64, 64)  # type: ignore[union-attr]
    assert isinstance(family_of(free), Timm)
    assert not isinstance(family_of(nn.Linear(1, 1)), Timm)


def test_blocks_lie_in_stages() -> None:
    with torch.device("meta"):
        names = {name: timm.create_model(name) for name in ("resnet26", "swin_tiny_patch4_window7_224", "regnetx_002")}
    found = {name: [site.path for site in ik.sites(model) if site.ok] for name, model in names.items()}
    assert found["resnet26"] == ["layer1.1", "layer2.1", "layer3.1", "layer4.1"]
    assert found["swin_tiny_patch4_window7_224"][4:6] == ["layers.2.blocks.0", "layers.2.blocks.1"]
    assert found["regnetx_002"][:3] == ["s3.b2", "s3.b3", "s3.b4"]  # the blocks of a stage are called b1, b2, ...


def test_what_the_class_was_told_and_nothing_is_left_of_the_listening() -> None:
    model = timm.create_model("test_convnext")
    before = type(model).__init__
    assert told_to_class(model, current(model))["depths"] == [1, 2, 4, 2]
    assert type(model).__init__ is before


def test_the_undo_puts_the_record_back() -> None:
    model = timm.create_model("test_vit", num_classes=7)
    before = dict(model._model_args)
    undone = model.blocks[5]
    del model.blocks[5]
    undo = Timm().resize(model, "blocks", (0, 1, 2, 3, 4), 6)
    assert model._model_args["depth"] == 5
    undo()
    assert model._model_args == before
    model.blocks.append(undone)
    assert Timm().resize(model, "blocks", (0, 1, 2, 3, 4), 6)() is None  # nothing fits: nothing is noted
    assert model._model_args == before


@torch.no_grad()
def test_memory_formats_and_dtypes(tmp_path: Path) -> None:
    model = made("test_resnet", {}).to(memory_format=torch.channels_last).to(torch.bfloat16)
    picture = native(model).to(torch.bfloat16)
    expected = model(picture)
    again = ik.load(ik.save(model, tmp_path / "saved"), dtype=torch.bfloat16)
    assert torch.equal(again(picture), expected)
    assert (tmp_path / "saved" / "config.json").is_file()
    ik.save(model, tmp_path / "saved", overwrite=True)
    (tmp_path / "saved" / "mine.txt").write_text("x")
    with pytest.raises(SaveError, match=r"also holds mine\.txt"):
        ik.save(model, tmp_path / "saved", overwrite=True)


def test_a_class_as_an_argument_needs_the_model(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", norm_layer=nn.LayerNorm).eval()
    assert Timm().configuration(model) is None
    ik.remove(model, "blocks.1")
    with pytest.raises(SaveError, match="timm cannot describe this VisionTransformer"):
        ik.save(model, tmp_path / "saved")
    folder = ik.save(model, tmp_path / "saved", format="plan")
    again = ik.load(folder, timm.create_model("test_vit", norm_layer=nn.LayerNorm))
    assert torch.equal(again(native(model)), model(native(model)))


def test_proposals_come_once_and_the_stage_s_own_first() -> None:
    told = {"depths": (3, 4, 3, 3), "mix": (0.5, 1), "ratios": ((4, 3), (4, 3, 3, 4)), "norm": nn.ReLU}
    found = list(proposals(told, Cut("stages.2.blocks", (0, 2), 3)))
    assert found[0] == {"depths": [3, 4, 2, 3]}
    assert len({json.dumps(each, sort_keys=True) for each in found}) == len(found)


def test_lists_inside_lists_lose_the_layers_too() -> None:
    told = {"depths": (2, 2, 6, 4), "ratios": (4, 4, (4, 3, 2, 3, 4, 4), (4, 3, 3, 4))}
    found = next(iter(proposals(told, Cut("stages.2.blocks", (0, 1, 3, 4, 5), 6))))
    assert found == {"depths": [2, 2, 5, 4], "ratios": [4, 4, [4, 3, 3, 4, 4], (4, 3, 3, 4)]}


def test_a_container_may_hold_what_no_number_counts() -> None:
    """The first member of such a stage halves the picture: of its four, three are counted."""
    told = {"base_dim": 16, "depths": (1, 1, 3, 1)}
    assert {"depths": [1, 1, 2, 1]} in proposals(told, Cut("stages.2", (0, 1, 3), 4))
