"""The pages that are written by a script are what it would write now, and leave nothing out."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import identikit as ik

ROOT = Path(__file__).parents[2]
ANEW = "run `make docs`, or python scripts/{}.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of scripts/ as a module."""
    monkeypatch.syspath_prepend(ROOT / "scripts")

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_the_command_line(script: Any) -> None:
    made = script("cli_page")
    assert (ROOT / made.PAGE).read_text(encoding="utf-8") == made.page(), ANEW.format("cli_page")


def test_the_results(script: Any) -> None:
    made = script("benchmarks_page")
    text = made.page()
    assert (ROOT / made.PAGE).read_text(encoding="utf-8") == text, ANEW.format("benchmarks_page")
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert f"(../benchmarks/results/{path.name})" in text, f"{path.name} is on no page"


def test_the_reference(script: Any) -> None:
    made = script("reference_pages")
    pages = made.pages()
    folder = ROOT / made.FOLDER
    assert {path.name for path in folder.iterdir()} == set(pages)
    for name, text in pages.items():
        assert (folder / name).read_text(encoding="utf-8") == text, ANEW.format("reference_pages")


def test_every_public_name_is_in_the_reference(script: Any) -> None:
    groups = script("reference_pages").groups()
    for module in (ik, ik.nn, ik.tabular):
        named = [name for group in groups if group.module is module for name in group.names]
        assert sorted(named) == sorted(module.__all__)


def test_docstrings_are_rewritten_and_keep_their_words(script: Any) -> None:
    """A sentence behind the arguments, kinds of error in a row, and a session: all stay."""
    rewritten = script("docstrings").rewritten
    text = (
        "Do it.\n\nArgs:\n    a: one\n        thing. b: another.\n    Everything else as in `scan`.\n\n"
        "Raises:\n    PlanError: no. RoleError, DataError: never,\n    or what it said.\n\nExample:\n    >>> 1\n    1"
    )
    assert rewritten(text) == (
        "Do it.\n\nArgs:\n    a: one\n        thing. b: another.\n\nEverything else as in `scan`.\n\n"
        "**Raises.** `PlanError`: no. `RoleError`, `DataError`: never, or what it said.\n\nExamples:\n    >>> 1\n    1"
    )
