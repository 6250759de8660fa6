"""What CONTRIBUTING.md adds (a metric, a library, a substitute, a verb) is added to a copy of the package, and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(python|diff)\n# src/(?P<file>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_USE = """
import sys, torch
from torch import nn
import identikit as ik
from identikit.cli import main
from identikit.families import family_of

torch.manual_seed(0)

class Block(nn.Linear):
    def forward(self, x):
        return x + 0.1 * super().forward(x)

class Net(nn.Module):
    width = 6
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(Block(6, 6) for _ in range(3)))
        self.head = nn.Linear(6, 4)
    def forward(self, x):
        return self.head(self.layers(x))

Net.__module__ = "toynets.models"
model, data = Net().eval(), [torch.randn(8, 6) for _ in range(3)]
torch.set_grad_enabled(False)
best = model(data[0]).topk(2).values
result = ik.scan(model, data[:1], metrics="margin", costs=False)
print("margin", abs(result.rows[0].full - float((best[:, 0] - best[:, 1]).mean())) < 1e-6)
print("toy", family_of(model).name, [site.path for site in ik.sites(model)])
with ik.bypass(model, "layers.1", as_="scale", data=data) as handle:
    edited = model(data[0])
with ik.bypass(model, "layers.1"):
    gone = model(data[0])
full = model(data[0])
print("scale", bool((edited - full).norm() < (gone - full).norm()), [edit.op for edit in handle.plan])
smaller = ik.remove(model, handle.plan)
print("removed", torch.equal(smaller(data[0]), edited))
main(["depth", sys.argv[1] + ":net"])
"""
_NET = """
import torch
from torch import nn

class Block(nn.Linear):
    def forward(self, x):
        return x + super().forward(x)

class Net(nn.Module):
    width = 6
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(Block(6, 6), Block(6, 6))
        self.head = nn.Linear(6, 4)
    def forward(self, x):
        return self.head(self.layers(x))

Net.__module__ = "toynets.models"

def net():
    return Net().eval()
"""


def _add(package: Path) -> list[str]:
    """Every block of the page, to the copy: a file, or lines of one put for others (or behind the first import)."""
    done = []
    for found in _BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        file = package.parent / found["file"]
        done.append(found["file"])
        if found[1] == "python":
            assert not file.exists()
            file.write_text(found["text"], encoding="utf-8")
            continue
        text = file.read_text(encoding="utf-8")
        for removed, added in re.findall(r"((?:^-.*\n)*)((?:^\+.*\n)+)", found["text"], re.MULTILINE):
            old, new = (re.sub(r"^.", "", lines, flags=re.MULTILINE) for lines in (removed, added))
            assert old in text, old
            first = text.index("\nfrom identikit") + 1
            text = text.replace(old, new, 1) if old else text[:first] + new + text[first:]
        file.write_text(text, encoding="utf-8")
    return done


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("src") / "identikit"
    shutil.copytree(ROOT / "src" / "identikit", copy, ignore=shutil.ignore_patterns("__pycache__"))
    done = _add(copy)
    assert [name for name in done if name.endswith(("margin.py", "toy.py", "scale.py", "cli/depth.py"))] == [
        "identikit/metrics/margin.py", "identikit/families/toy.py", "identikit/surgery/scale.py",
        "identikit/cli/depth.py",
    ]  # fmt: skip
    return copy


def test_each_is_one_file_and_one_entry_and_works(package: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(_NET, encoding="utf-8")
    surroundings = os.environ | {"PYTHONPATH": str(package.parent), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", _USE, str(tmp_path / "mine.py")],
        env=surroundings, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "margin True",
        "toy toy ['layers.0', 'layers.1', 'layers.2']",
        "scale True ['scale']",
        "removed True",
        "layers  2",
    ]


def test_what_is_added_keeps_the_rules_of_the_house(package: Path) -> None:
    """Its style is that of the package: the checker of the house says nothing of the new files."""
    new = [str(path) for path in package.rglob("*.py") if path.name in ("margin.py", "toy.py", "scale.py", "depth.py")]
    assert len(new) == 4
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--no-cache", *new],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
