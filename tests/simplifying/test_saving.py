"""What becomes of a simplified model: saved where its library still loads it, else refused with what to do instead."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import identikit as ik
from identikit.errors import SaveError

from .held import picture, simplified, trained


def folded() -> nn.Module:
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    return ik.simplify(model, picture())


@pytest.mark.parametrize("form", ["checkpoint", "plan"])
def test_folded_layers_are_not_saved(form: str, tmp_path: Path) -> None:
    with pytest.raises(SaveError) as refused:
        ik.save(folded(), tmp_path / "here", form, inputs=picture())  # type: ignore[arg-type]
    assert str(refused.value) == (
        "ik.simplify folded layers of this Sequential together, so the code it comes from cannot load its weights. "
        'Export it: ik.export(model, "model.pt2", inputs), or "model.onnx". Or keep the object: '
        'torch.save(model, "simplified.pt").'
    )
    assert not (tmp_path / "here").exists()


def test_of_a_library_neither(tmp_path: Path) -> None:
    import timm

    model = trained(timm.create_model("test_byobnet", num_classes=3))
    ik.simplify(model, picture(3, 32))
    with pytest.raises(SaveError, match="cannot load its weights"):
        ik.save(model, tmp_path / "here", inputs=picture(3, 32))


def test_without_its_dropouts_a_checkpoint_loads(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

    size = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**size, intermediate_size=16)).eval()
    ids = torch.tensor([[3, 7, 9]])
    expected = model(ids).logits
    ik.save(ik.simplify(model), tmp_path / "here")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "here").eval()
    assert torch.equal(again(ids).logits, expected)


def test_the_object_is_kept_whole(tmp_path: Path) -> None:
    model = folded()
    expected = model(picture())
    torch.save(model, tmp_path / "simplified.pt")
    loaded = torch.load(tmp_path / "simplified.pt", weights_only=False)
    for again in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(picture()), expected)
        assert ik.simplified(again) == ik.simplified(model)


def test_what_was_exported_is_the_same() -> None:
    model = folded()
    program = torch.export.export(model, (picture(),)).module()
    assert torch.allclose(program(picture()), model(picture()))


def test_compiled_afterwards() -> None:
    model = folded()
    expected = model(picture())
    assert torch.allclose(torch.compile(model, backend="eager", fullgraph=True)(picture()), expected)


def test_removed_first_then_simplified() -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(*(copy.deepcopy(block) for _ in range(3)))))
    ik.remove(model, "1.1", inputs=picture())
    found = simplified(model, picture())
    assert [each.at for each in found.rewrites] == ["1.0.1", "1.1.1"]
