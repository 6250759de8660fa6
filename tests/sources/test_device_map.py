"""`device_map`: a transformers checkpoint spread over memory and disk by accelerate, and who cannot be spread."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import identikit as ik
import tiny
from identikit.errors import MissingExtraError, ModelError
from identikit.sources.model import open_model

ASIDE = dict.fromkeys(["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"], "cpu") | {
    f"model.layers.{layer}": "disk" if layer % 2 else "cpu" for layer in range(4)
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.model("causal").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("written", [False, True], ids=["dict", "file"])
def test_layers_on_the_disk(written: bool, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps(ASIDE))
    opened = open_model(folder, device_map=str(tmp_path / "map.json") if written else ASIDE)
    assert next(value.is_meta for value in opened.model.model.layers[1].parameters())
    plain = open_model(folder, device="cpu").model
    data = [{"input_ids": tiny.IDS}]
    with torch.no_grad():
        assert torch.equal(opened.model(tiny.IDS).logits, plain(tiny.IDS).logits)
    mine, theirs = (ik.scan(model, data, costs=False) for model in (opened.model, plain))
    assert [row.edited for row in mine] == [row.edited for row in theirs]


def test_auto(folder: Path) -> None:
    """What fits onto one device lies there, and computes what it did."""
    model, plain = (open_model(folder, **on).model for on in ({"device_map": "auto"}, {"device": "auto"}))
    assert not model.training
    where = {value.device.type for value in model.parameters()}
    assert where == {value.device.type for value in plain.parameters()}
    with torch.no_grad():
        assert torch.equal(model(tiny.IDS.to(*where)).logits, plain(tiny.IDS.to(*where)).logits)


def test_what_cannot_be_spread(minilm_path: Path, folder: Path, tmp_path: Path) -> None:
    for name in (str(minilm_path), "timm:resnet18", "mine.py:net"):
        line = f'device_map spreads a folder of transformers over devices; "{name}" is none. Leave it out.'
        with pytest.raises(ModelError, match=re.escape(line)):
            open_model(name, device_map="auto")
    (tmp_path / "map.json").write_text("[]")
    with pytest.raises(ModelError, match=r"is no device map\. It says where modules lie"):
        open_model(folder, device_map=str(tmp_path / "map.json"))
    with pytest.raises(ModelError, match=r"cannot be read"):
        open_model(folder, device_map=str(tmp_path / "other.json"))
    with pytest.raises(ModelError, match=r"cannot be loaded: ValueError"):
        open_model(folder, device_map="somewhere")


def test_without_accelerate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identikit.sources.device.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'needs accelerate\. Install it: pip install "identikit\[scale\]"'):
        open_model(folder, device_map="auto")


def test_a_rank_s_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torchrun "auto" is the GPU of this rank."""
    from identikit.sources.device import read_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert read_device("auto") == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert read_device("auto") == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ModelError, match=r'"cuda:2" is not there: this PyTorch sees 2 CUDA devices'):
        read_device("auto")
