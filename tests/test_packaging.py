"""What a user installs: nothing heavy is imported unasked, versions agree, the wheel holds its data."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_wheel_holds_its_data(built: tuple[Path, Path]) -> None:
    held = set(zipfile.ZipFile(built[0]).namelist())
    assert {"identikit/demo/pairs.csv", "identikit/py.typed"} <= held
    for folder, kind in (("schemas", ".json"), ("reporting/templates", ".html.j2")):
        assert [name for name in held if name.startswith(f"identikit/{folder}/") and name.endswith(kind)], folder
    package = ROOT / "src" / "identikit"
    data = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {f"identikit/{path.relative_to(package).as_posix()}" for path in data} <= held
    assert {name.split("/")[0] for name in held} == {"identikit", f"identikit-{PROJECT['version']}.dist-info"}


def test_the_wheel_asks_for_nothing_heavy_unasked(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        lines = wheel.read(name).decode().splitlines()
    needed = {
        re.match(r"Requires-Dist: ([\w-]+)", line)[1]
        for line in lines
        if line.startswith("Requires-Dist") and "extra ==" not in line
    }  # type: ignore[index]
    assert needed == {"torch", "numpy", "safetensors", "typer", "rich"}
    assert {line.split()[1] for line in lines if line.startswith("Provides-Extra")} == set(
        PROJECT["optional-dependencies"]
    )


def test_the_sdist_can_prove_itself(built: tuple[Path, Path]) -> None:
    """Code, tests, pages and what builds them; no caches; no path of the machine that built it."""
    with tarfile.open(built[1]) as sdist:
        files = {member.name.partition("/")[2]: member for member in sdist if member.isfile()}
        for place in ("src/identikit", "tests", "docs", "examples", "benchmarks", "scripts"):
            here = {path.relative_to(ROOT).as_posix() for path in (ROOT / place).rglob("*.py")}
            assert here <= files.keys(), place
        for name in ("pyproject.toml", "constraints.txt", "Makefile", "README.md", "CONTRIBUTING.md", "LICENSE"):
            assert name in files
        spoiled = ("__pycache__", ".venv", ".git/", "_cache/", ".pyc", ".egg-info", ".hypothesis")
        assert [name for name in files if any(part in f"{name}/" for part in spoiled)] == []
        home = str(ROOT).encode()
        assert [name for name, member in files.items() if home in sdist.extractfile(member).read()] == []  # type: ignore[union-attr]


@pytest.mark.long
def test_the_wheel_works_in_a_clean_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Installed without extras and run from another folder; torch and the other requirements are those that are here.

    (A .pth file lends them, behind the environment's own: `make compat` is the whole truth and downloads everything.)
    """
    venv.create(tmp_path / "venv", with_pip=False)
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    python, here = str(tmp_path / "venv" / "bin" / "python"), sysconfig.get_path("purelib")
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(packages)
    (packages / "lent.pth").write_text(f"{here}\n")
    code = (
        "import sys, identikit as ik\nassert 'torch' not in sys.modules\nprint(ik.__file__)\n"
        "import torch\nfrom torch import nn\nmodel = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))).eval()\n"
        "x = torch.randn(2, 4)\nfull = model(x)\nwith ik.bypass(model, '1', inputs=x):\n    bypassed = model(x)\n"
        "assert torch.equal(model(x), full) and not torch.equal(full, bypassed)\n"
        "assert torch.equal(ik.remove(model, '1', inputs=x)(x), bypassed)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for command in ([python, "-c", code], [python, "-m", "identikit", "--version"]):
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        assert str(packages) in run.stdout or run.stdout == f"identikit {PROJECT['version']}\n"
