"""Without an extra its verbs say so in one line with the line to paste: here its library is hidden, or truly absent."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import identikit as ik
import sample_results as sample
import small_net
from identikit.errors import MissingExtraError
from identikit.metrics import resolve
from identikit.sources.model import open_model
from identikit.sources.tables import read_table


def hidden(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """`library` cannot be imported, whether it is installed or not."""
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)


def a_transformer(place: Path) -> object:
    (place / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (place / "model.safetensors").touch()
    return open_model(place)


def a_table(place: Path) -> object:
    (place / "pairs.csv").write_text("one,two\na,b\n")
    return read_table(place / "pairs.csv")


def healing(place: Path) -> object:
    teacher, student = small_net.made(), small_net.made()
    ik.remove(student, "layers.1", inputs=torch.randn(2, small_net.WIDTH))
    return ik.heal(student, teacher, small_net.batches(), steps=2, lora=2, progress=False)


def spread_scan(place: Path) -> object:
    return ik.scan(small_net.made(), small_net.batches(), ray="local", progress=False)


#: Library, extra, what cannot be done without it.
ASKED: list[tuple[str, str, Callable[[Path], object]]] = [
    ("transformers", "hf", a_transformer),
    ("datasets", "hf", a_table),
    ("timm", "timm", lambda place: open_model("timm:resnet18")),
    ("sklearn", "tabular", lambda place: importlib.reload(importlib.import_module("identikit.tabular"))),
    ("torchmetrics", "metrics", lambda place: resolve("torchmetrics:MeanSquaredError")),
    ("jinja2", "report", lambda place: sample.scan().report(place / "report.html")),
    ("matplotlib", "report", lambda place: sample.scan().plot()),
    ("peft", "heal", healing),
    ("onnx", "export", lambda place: ik.export(nn.Linear(4, 4), place / "model.onnx", torch.randn(2, 4))),
    ("ray", "scale", spread_scan),
    ("accelerate", "scale", lambda place: open_model(place, device_map="auto")),
]


@pytest.mark.parametrize(("library", "extra", "ask"), [pytest.param(*each, id=each[0]) for each in ASKED])
def test_the_extra_is_named(
    library: str, extra: str, ask: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden(monkeypatch, library)
    with pytest.raises(MissingExtraError) as said:
        ask(tmp_path)
    assert str(said.value).endswith(f'. Install it: pip install "identikit[{extra}]"')
    assert "\n" not in str(said.value)
