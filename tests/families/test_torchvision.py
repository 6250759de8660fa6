"""torchvision's models: examples of every kind, blocks whose names are words with numbers, the builder found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

import identikit as ik
from identikit.errors import ModelError
from identikit.families import family_of
from identikit.families.made import made
from identikit.families.torchvision import TorchVision


def empty(name: str, **arguments: object) -> nn.Module:
    return made(lambda: models.get_model(name, weights=None, **arguments), empty=True).eval().to("meta")


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("resnet18", [(2, 3, 64, 64)]),
        ("inception_v3", [(2, 3, 96, 96)]),
        ("vit_b_32", [(2, 3, 224, 224)]),
        ("r3d_18", [(2, 3, 8, 64, 64)]),
        ("raft_small", [(2, 3, 128, 128), (2, 3, 128, 128)]),
        ("lraspp_mobilenet_v3_large", [(2, 3, 64, 64)]),
    ],
)
def test_examples(name: str, shapes: list[tuple[int, ...]]) -> None:
    arguments = {"weights_backbone": None} if name.startswith("lraspp") else {}
    arguments |= {"init_weights": False} if name.startswith("inception") else {}
    model = empty(name, **arguments)
    assert isinstance(family_of(model), TorchVision)
    example = TorchVision().example(model)
    assert example is not None
    assert [tuple(value.shape) for value in example.args] == shapes


def test_blocks() -> None:
    found = {name: [site.path for site in ik.sites(empty(name)) if site.ok] for name in ("vit_b_32", "regnet_x_400mf")}
    assert found["vit_b_32"][:2] == ["encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"]
    assert "trunk_output.block3.block3-1" in found["regnet_x_400mf"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("resnet18", "layer3.1"),
        ("mobilenet_v3_small", "features.3"),
        ("shufflenet_v2_x0_5", "stage3.2"),
    ],
)
@torch.no_grad()
def test_removed_saved_and_loaded_without_the_code(name: str, place: str, tmp_path: Path) -> None:
    model, picture = models.get_model(name, weights=None, num_classes=7).eval(), torch.randn(1, 3, 64, 64)
    block = model.get_submodule(place)
    block.__dict__["forward"] = torch.clone
    expected = model(picture)
    del block.__dict__["forward"]
    ik.remove(model, place)
    for form in ("checkpoint", "plan"):
        folder = ik.save(model, tmp_path / form, format=form)  # type: ignore[arg-type]
        assert torch.equal(ik.load(folder)(picture), expected), form
        full = models.get_model(name, weights=None, num_classes=7)
        assert torch.equal(ik.load(folder, full)(picture), expected), form


def test_the_builder_is_found_by_the_structure() -> None:
    for name, arguments in [
        ("resnet34", {"num_classes": 3}),
        ("wide_resnet50_2", {"num_classes": 1000}),
        ("googlenet", {"num_classes": 5, "aux_logits": True}),
        ("fcn_resnet50", {"num_classes": 4}),
    ]:
        more = {"weights_backbone": None} if name.startswith("fcn") else {}
        more |= {"init_weights": False} if name == "googlenet" else {}
        found = TorchVision().configuration(empty(name, **arguments, **more))
        assert found is not None
        assert found["builder"] == name
        assert found["arguments"].items() <= arguments.items()


def test_a_model_that_no_builder_makes_stays_plain(tmp_path: Path) -> None:
    model = models.ResNet(models.resnet.BasicBlock, [1, 1, 3, 1], num_classes=3).eval()
    assert TorchVision().configuration(model) is None
    ik.remove(model, "layer3.1")
    folder = ik.save(model, tmp_path / "saved")
    with pytest.raises(ModelError, match="whose code is yours"):
        ik.load(folder)
    again = ik.load(folder, models.ResNet(models.resnet.BasicBlock, [1, 1, 3, 1], num_classes=3))
    assert torch.equal(again(torch.ones(1, 3, 64, 64)), model(torch.ones(1, 3, 64, 64)))
