"""docs/compatibility.md shows what ran, and the lower bounds of pyproject.toml are versions that ran."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOUND = json.loads((ROOT / "benchmarks" / "results" / "compatibility.json").read_text(encoding="utf-8"))
CELLS: dict[str, Any] = FOUND["cells"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def page() -> Any:
    """scripts/compatibility_page.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("compatibility_page", ROOT / "scripts" / "compatibility_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_result() -> None:
    own = page()
    text = (ROOT / own.PAGE).read_text(encoding="utf-8")
    assert text.split(own.BEGIN)[1].split(own.END)[0].strip() == own.tables(FOUND).strip()


def test_nothing_failed() -> None:
    for name, cell in CELLS.items():
        assert cell["problems"] == [], name
        assert cell["tests"]["failed"] == 0, name
        assert cell["tests"]["passed"] > 30, name


def test_each_extra_is_asked_for_alone_and_what_has_not_run_is_named() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"dev", "fuzz"}  # for who works on identikit: they are in "all"
    assert {"none", *extras} <= set(FOUND["asked"])
    left = [name for name in FOUND["asked"] if name not in CELLS]
    assert (f"not yet run: {', '.join(left)}." in page().tables(FOUND)) == bool(left)


def test_each_lower_bound_ran_or_an_older_one_did() -> None:
    extras = CELLS["oldest"]["install"].partition("[")[2].rstrip("]").split(",")
    asked = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    for requirement in map(Requirement, asked):
        (bound,) = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
        ran = [Version(cell["versions"].get(requirement.name, "9999")) for cell in CELLS.values()]
        assert min(ran).release[: len(bound.release)] <= bound.release, requirement


def test_transformers_of_both_kinds_and_three_pythons_ran() -> None:
    assert {cell["versions"].get("transformers", "").partition(".")[0] for cell in CELLS.values()} >= {"4", "5"}
    assert {cell["python"].rpartition(".")[0] for cell in CELLS.values()} >= {"3.11", "3.13"}
