"""The table of known traps names tests that there are, and every test of this folder stands in it or beside one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.findall(r"`([a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`", (TESTS / "traps" / "README.md").read_text("utf-8"))


def functions(path: str) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse((TESTS / path).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_every_test_in_the_table_is_there() -> None:
    paths = [(path, name) for path, name in NAMED if not path.startswith(("scripts/", "test_index"))]
    assert len(paths) > 90
    assert [path for path, _ in paths if not (TESTS / path).is_file()] == []
    known = {path: functions(path) for path, name in paths if name}
    assert [f"{path}::{name}" for path, name in paths if name and name not in known[path]] == []


def test_every_line_of_the_table_names_a_test() -> None:
    rows = [line for line in (TESTS / "traps" / "README.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    bare = [line for line in rows if ".py" not in line and line != "| what happens | tests |"]
    assert bare == []
