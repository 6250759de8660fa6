"""docs/security.md: each test that it names exists, and each attack stands on the page or beside one that does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from identikit import places, plan, strict_json
from identikit.results import fields, front, journal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
ATTACKS = sorted(Path(__file__).parent.glob("test_*.py"))


def names_in(*files: Path) -> set[str]:
    """The names of the tests in these files."""
    nodes = (node for file in files for node in ast.parse(file.read_text()).body)
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 30
    assert not set(named) - names_in(*(ROOT / "tests").rglob("test_*.py"))


def test_each_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 12
    assert not [row[:60] for row in rows if not re.search(r"`test_\w+`|\(\.\./tests/\w+\.py\)", row.split("|")[-2])]


def test_each_file_of_attacks_is_on_the_page() -> None:
    ours = [file for file in ATTACKS if file.stem not in ("test_page", "test_traps")]
    assert len(ours) > 4
    assert not [file.name for file in ours if not names_in(file) & set(re.findall(r"`(test_\w+)`", PAGE))]


def test_the_limits_are_those_of_the_code() -> None:
    (said,) = re.findall(r"^Limits: (.*)$", PAGE, re.MULTILINE)
    numbers = [strict_json.LARGEST_FILE >> 20, plan._MOST_EDITS, journal.LARGEST_FILE >> 30, journal.LONGEST_LINE >> 20]
    numbers += [journal.MOST_ROWS, fields.LONGEST_TEXT, places._LONGEST]
    assert [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d", said)] == numbers
    assert front._MOST_POINTS == plan._MOST_EDITS
