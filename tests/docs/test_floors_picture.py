"""The picture of the floors is the one that the enforced table gives: remade by scripts/floors_picture.py."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path

from house.floors import ARROWS, FLOORS

ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("floors_picture", ROOT / "scripts" / "floors_picture.py")
assert _SPEC is not None
assert _SPEC.loader is not None
floors_picture = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(floors_picture)


def test_the_picture_is_in_step() -> None:
    drawn = floors_picture.PICTURE.read_text(encoding="utf-8")
    assert drawn == floors_picture.drawn(FLOORS, ARROWS), "run: python scripts/floors_picture.py"


def test_each_room_stands_in_it_once_and_the_page_shows_it() -> None:
    found = [text.text for text in ET.parse(floors_picture.PICTURE).iter("{http://www.w3.org/2000/svg}text")]
    for room in FLOORS:
        assert found.count(room) == (room != "__main__")
    assert "](images/floors.svg)" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
