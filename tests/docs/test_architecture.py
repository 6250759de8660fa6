"""docs/architecture.md names folders and files that there are, and every folder of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from house.floors import DATA, FLOORS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "identikit"
_ROW = re.compile(r"^\| `(?P<folder>\w+)/` \| (?P<said>.*) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROWS = {row["folder"]: row["said"] for row in _ROW.finditer(PAGE)}


@pytest.mark.parametrize("folder", sorted(ROWS))
def test_each_file_of_a_row_is_there(folder: str) -> None:
    for name in re.findall(r"`([\w*]+\.py)`", ROWS[folder]):
        there = list((PACKAGE / folder).glob(name)) or (PACKAGE / name).exists()
        assert there, f"{folder}/{name} is named, and there is none"


def test_each_folder_has_a_row() -> None:
    folders = {each.name for each in PACKAGE.iterdir() if (each / "__init__.py").is_file()} - DATA
    assert folders == set(ROWS)
    assert folders <= set(FLOORS)
