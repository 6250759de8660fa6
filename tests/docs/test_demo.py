"""The picture at the head of README is drawn from what its file holds, and that is what the demo measures."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SAID = json.loads((IMAGES / "demo.json").read_text(encoding="utf-8"))


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("demo_picture")


def test_the_pictures_are_those_of_the_file(drawing: Any) -> None:
    for theme in drawing.THEMES:
        text = (IMAGES / f"demo-{theme}.svg").read_text(encoding="utf-8")
        assert text == drawing.picture(SAID, theme), "run python scripts/demo_picture.py"
        assert len(text) < 10_000
        xml.etree.ElementTree.fromstring(text)


def test_what_the_pages_say_of_the_picture() -> None:
    (full, left), fidelity = SAID["parameters"], SAID["scores"]["fidelity"][1]
    said = f"Layers {' and '.join(map(str, SAID['gone']))} are off; the smaller model has {left / 1e6:.1f} million "
    said += f"parameters of {full / 1e6:.1f} and keeps {100 * fidelity:.1f} % of the output."
    for page in ("README.md", "README.zh.md", "docs/index.md"):
        assert said in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.long
def test_a_run_of_the_demo_says_the_same(drawing: Any, tmp_path: Path) -> None:
    """Scores up to what another processor rounds; all else to the digit."""
    command = [sys.executable, "-m", "identikit", "demo", "--to", str(tmp_path / "run")]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    found = drawing.facts(tmp_path / "run")
    for layer, said in zip(found.pop("layers"), SAID["layers"], strict=True):
        assert layer == pytest.approx(said, abs=2e-3)
    for name, scores in found.pop("scores").items():
        assert scores == pytest.approx(SAID["scores"][name], abs=2e-3)
    for key in ("model", "pairs", "gone", "parameters", "bytes"):
        assert found[key] == SAID[key]
