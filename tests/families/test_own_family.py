"""A model library of a user's own: one file and one entry in FAMILIES, and every verb knows its folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn

import identikit as ik
from identikit import families
from identikit.batches import Batch
from identikit.saving import replaceable
from identikit.sources import model as sources_model


class Net(nn.Module):
    """The toy library's only model: its settings say how deep it is."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(settings["depth"]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Toy(ik.Family):
    """Folders with settings.json and weights.safetensors."""

    name = "toy"
    self_contained = True

    def matches(self, model: nn.Module) -> bool:
        return isinstance(model, Net)

    def example(self, model: nn.Module) -> Batch:
        return Batch(args=(torch.ones(2, 4),), examples=2)

    def resize(self, model: Any, stack: str, keep: Any, depth: int) -> Any:
        before = dict(model.settings)
        model.settings["depth"] = len(keep)
        return lambda: model.settings.update(before)

    def save(self, model: Any, folder: Path, like: Path | None) -> None:
        (folder / "settings.json").write_text(json.dumps(model.settings))
        save_model(model, str(folder / "weights.safetensors"))

    def rebuild(self, folder: Path, model: nn.Module) -> nn.Module:
        return self.opened(folder).eval()

    def owns(self, folder: Path) -> bool:
        return (folder / "settings.json").is_file()

    def opened(self, folder: Path) -> nn.Module:
        made = Net(json.loads((folder / "settings.json").read_text()))
        load_model(made, folder / "weights.safetensors")
        return made


def test_remove_save_load_and_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (families, replaceable, sources_model):
        monkeypatch.setattr(place, "FAMILIES", (Toy(), *families.FAMILIES))
    model = Net({"depth": 3})
    smaller = ik.remove(model, "layers.1")
    place = ik.save(smaller, tmp_path / "toy")
    again = ik.load(place)
    assert torch.equal(again(torch.ones(1, 4)), smaller(torch.ones(1, 4)))
    assert len(again.layers) == 2
    ik.save(smaller, place, overwrite=True)
