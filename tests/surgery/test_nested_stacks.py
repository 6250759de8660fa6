"""Layers of an outer and of an inner stack removed together, and one after the other."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import identikit as ik


def nested() -> nn.Module:
    torch.manual_seed(0)
    stages = [nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3))) for _ in range(5)]
    return nn.Sequential(*stages).eval()


@pytest.mark.parametrize("places", [["0", "4.1"], ["0", "2.1"], ["3", "1.0", "1.2"]])
def test_together(places: list[str], tmp_path: Path) -> None:
    model, x = nested(), torch.randn(2, 4)
    with ik.bypass(model, places, inputs=x):
        expected = model(x)
    full = copy.deepcopy(model)
    removed = ik.remove(model, places, inputs=x)
    assert torch.equal(removed(x), expected)
    folder = ik.save(removed, tmp_path / "smaller", inputs=x)
    assert torch.equal(ik.load(folder, model=full, inputs=x)(x), expected)
