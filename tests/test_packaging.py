"""What a user installs: nothing heavy is imported unasked, versions agree, the wheel holds its data."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HEAVY = {"torch", "numpy", "rich", "typer", "transformers", "sentence_transformers", "datasets", "matplotlib", "pandas"}


def loaded_by(code: str) -> set[str]:
    """The top-level names in sys.modules of a fresh Python that ran `code`."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import identikit",
        "import identikit.errors",
        "import identikit.plan",
        "import identikit.results",
        "dir(__import__('identikit'))",
    ],
)
def test_light_import(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


def test_the_light_import_test_can_fail() -> None:
    assert "numpy" in loaded_by("import numpy") & HEAVY


def test_versions_agree() -> None:
    assert version("identikit") == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{PROJECT['version']}]" in changelog


def test_every_tested_version_fits_what_is_asked() -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    asked = [*PROJECT["dependencies"], *(name for extra in PROJECT["optional-dependencies"].values() for name in extra)]
    for requirement in map(Requirement, asked):
        if requirement.name != "identikit":
            assert requirement.specifier.contains(pinned[requirement.name]), requirement


def test_all_holds_every_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.search(r"\[(.*)\]", everything)
    assert named is not None
    assert set(named[1].split(",")) == set(extras) - {"all"}


def test_demo_pairs() -> None:
    with (ROOT / "src" / "identikit" / "demo" / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 240
    assert all(set(row) == {"sentence1", "sentence2", "score"} for row in rows)
    assert {float(row["score"]) for row in rows} == {half / 2 for half in range(11)}
    assert len({row[side] for row in rows for side in ("sentence1", "sentence2")}) == 480, "a sentence stands twice"


@pytest.mark.long
def test_wheel_holds_its_data(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"identikit/demo/pairs.csv", "identikit/py.typed"} <= held
    assert [name for name in held if name.startswith("identikit/schemas/") and name.endswith(".json")]
    package = ROOT / "src" / "identikit"
    data = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {f"identikit/{path.relative_to(package).as_posix()}" for path in data} <= held
    assert not [name for name in held if name.startswith(("tests/", "benchmarks/"))]
