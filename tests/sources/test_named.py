"""`timm:NAME`, `torchvision:NAME` and timm folders: opened with how pictures go in, refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import timm
import torch
from torchvision import models

import identikit as ik
from identikit.errors import ModelError
from identikit.sources import open_model

PICTURES = [numpy.full((40, 60, 3), 9, dtype=numpy.uint8)] * 2


def refused(name: str) -> str:
    with pytest.raises(ModelError) as caught:
        open_model(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_timm_folder(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=3).eval()
    opened = open_model(ik.save(model, tmp_path / "saved"), device="cpu")
    assert (type(opened.model).__name__, opened.task, opened.model.training) == (
        "VisionTransformer",
        "image-classification",
        False,
    )
    assert opened.encode_images is not None
    batch = opened.encode_images(PICTURES)
    assert batch.args[0].shape == (2, 3, 160, 160)
    assert torch.equal(batch.call(opened.model), model(*batch.args))


def test_a_damaged_timm_folder(tmp_path: Path) -> None:
    folder = ik.save(timm.create_model("test_vit", num_classes=3).eval(), tmp_path / "saved")
    (folder / "config.json").write_text('{"architecture": "test_vitt"}')
    assert refused(str(folder)).startswith(f'timm cannot load "{folder}": Unknown model (test_vitt)')


def test_a_name_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    make = timm.create_model

    def create(name: str, **options: Any) -> Any:
        asked.append(options)
        return make(name)

    monkeypatch.setattr(timm, "create_model", create)
    opened = open_model("timm:test_convnext.r160_in1k", device="cpu")
    assert asked == [{"pretrained": True}]
    assert opened.encode_images is not None
    assert opened.encode_images(PICTURES).call(opened.model).shape == (2, 1000)


def test_a_name_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    make = models.get_model
    monkeypatch.setattr(models, "get_model", lambda name, weights: make(name, weights=None))
    opened = open_model("torchvision:squeezenet1_1", device="cpu")
    assert (opened.task, len(opened.labels), opened.labels["tench"]) == ("image-classification", 1000, 0)
    assert opened.encode_images is not None
    assert opened.encode_images(PICTURES).call(opened.model).shape == (2, 1000)


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused("timm:resnet188").startswith('timm has no model "resnet188". Did you mean "resnet18')
    assert refused("torchvision:resnet188").startswith('torchvision has no model "resnet188". Did you mean "resnet18')
    bare = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    assert refused(f"timm:{bare}").startswith(f'timm has no weights for "{bare}". For random ones name file.py:')

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", unreachable)
    assert refused("timm:resnet18") == '"timm:resnet18" cannot be loaded: OSError: no network'
