"""The rules of the house hold in src/identikit, and every check of them can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from house import floors, manners
from house.source import Finding, Source, read_package

ROOT = Path(__file__).parents[1]
Check = Callable[[Sequence[Source]], Iterator[Finding]]
CHECKS: list[Check] = [
    floors.check_floors,
    floors.check_circles,
    floors.check_libraries,
    manners.check_opening,
    manners.check_names,
    manners.check_length,
    manners.check_printing,
    manners.check_swallowing,
]


@pytest.fixture(scope="module")
def package() -> list[Source]:
    return read_package(ROOT / "src" / "identikit")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package(check: Check, package: list[Source]) -> None:
    broken = [str(finding) for finding in check(package)]
    assert not broken, "\n" + "\n".join(broken)


def test_every_file_of_the_package_is_read(package: list[Source]) -> None:
    assert {"identikit", "identikit.errors", "identikit.plan"} <= {source.module for source in package}
    assert all(source.path.startswith("src/identikit/") for source in package)


@pytest.mark.parametrize("check", [manners.check_opening, manners.check_names], ids=lambda check: check.__name__)
@pytest.mark.parametrize("folder", ["tests", "benchmarks", "scripts"])
def test_beside_the_package(check: Check, folder: str) -> None:
    broken = [str(finding) for finding in check(read_package(ROOT / folder))]
    assert not broken, "\n" + "\n".join(broken)


def house(files: dict[str, str]) -> list[Source]:
    """A package of these files (path below src/identikit and text) beside the ones every package has."""
    opened = {"__init__.py": '"""Face."""', "errors.py": '"""Errors."""', **files}
    sources = []
    for path, text in opened.items():
        parts = ["identikit", *path.removesuffix(".py").removesuffix("__init__").strip("/").split("/")]
        sources.append(Source(f"src/identikit/{path}", ".".join(part for part in parts if part), text))
    return sources


def said(check: Check, files: dict[str, str]) -> list[str]:
    return [str(finding).removeprefix("src/identikit/") for finding in check(house(files))]


FLOOR_CASES = [
    pytest.param(
        {"plan.py": "x = 1\nfrom identikit.surgery import apply\n", "surgery/apply.py": ""},
        "plan.py:2: imports identikit.surgery.apply: plan is on floor 1, surgery above it on floor 3",
        id="up",
    ),
    pytest.param(
        {"scanning/scan.py": "def f():\n    from ..pruning import search\n", "pruning/search.py": ""},
        "scanning/scan.py:2: imports identikit.pruning.search: scanning is on floor 4, pruning above it on floor 5",
        id="up, inside a function, relative",
    ),
    pytest.param(
        {"structure/watch.py": "from identikit.families.plain import Family\n", "families/plain.py": ""},
        "structure/watch.py:1: imports identikit.families.plain sideways: on its own floor structure may",
        id="against the arrow",
    ),
    pytest.param(
        {"metrics/loss.py": "import identikit.structure.watch\n", "structure/watch.py": ""},
        "metrics/loss.py:1: imports identikit.structure.watch sideways: on its own floor metrics may import nothing",
        id="sideways without an arrow",
    ),
    pytest.param(
        {"plan.py": "from identikit.results import Row\n", "results.py": ""},
        "plan.py:1: imports identikit.results sideways: on its own floor plan may import",
        id="on the ground, against the arrow",
    ),
    pytest.param(
        {"saving/save.py": "from identikit import Plan\n"},
        "saving/save.py:1: imports identikit: saving is on floor 4, __init__ above it on floor 6",
        id="the face from below",
    ),
    pytest.param(
        {"reporting/page.py": "from identikit.structure.watch import watch\n", "structure/watch.py": ""},
        "reporting/page.py:1: imports identikit.structure.watch: reporting takes results, never models",
        id="a report that knows a model",
    ),
    pytest.param(
        {
            "results.py": "class R:\n    def plot(self):\n        from identikit.scanning import scan\n",
            "scanning/scan.py": "",
        },
        "results.py:3: imports identikit.scanning.scan: results is on floor 1, scanning above it on floor 4",
        id="painting, but no painter",
    ),
    pytest.param(
        {"cli/demo.py": "import identikit.demo\n"},
        "cli/demo.py:1: imports identikit.demo: demo/ holds data; read it through importlib.resources",
        id="data imported",
    ),
    pytest.param(
        {"demo/make.py": ""},
        "demo/make.py:1: demo/ holds data; code does not belong there",
        id="code among data",
    ),
    pytest.param(
        {"attic/old.py": ""},
        'attic/old.py:1: the wing "attic" has no floor; give it one in tests/house/floors.py',
        id="unknown wing",
    ),
]


@pytest.mark.parametrize(("files", "rule"), FLOOR_CASES)
def test_floors_can_fail(files: dict[str, str], rule: str) -> None:
    (only,) = said(floors.check_floors, files)
    assert only.startswith(rule)


@pytest.mark.parametrize(
    "files",
    [
        {
            "sources/model.py": "from identikit.families import plain\n",
            "families/plain.py": "import identikit.structure\n",
        },
        {
            "results.py": "class R:\n    def plot(self):\n        from identikit.reporting import plots\n",
            "reporting/plots.py": "",
        },
        {
            "surgery/apply.py": "from identikit.surgery import remove\n",
            "surgery/remove.py": "from identikit.errors import E\n",
        },
        {"cli/main.py": "import identikit as ik\nfrom identikit.nn.identity import Identity\n", "nn/identity.py": ""},
    ],
    ids=["along arrows", "a painter", "inside a wing", "the face from the command line"],
)
def test_floors_let_through(files: dict[str, str]) -> None:
    files = {**files, "structure/__init__.py": ""}
    assert said(floors.check_floors, files) == []


def test_circles_can_fail() -> None:
    files = {
        "surgery/a.py": "import os\nfrom identikit.surgery.b import f\n",
        "surgery/b.py": "def f():\n    from identikit.surgery import c\n",
        "surgery/c.py": "from .a import g\n",
    }
    assert said(floors.check_circles, files) == [
        "surgery/a.py:2: import circle: identikit.surgery.a -> identikit.surgery.b -> identikit.surgery.c"
        " -> identikit.surgery.a"
    ]


def test_circles_through_a_wing_s_own_face() -> None:
    files = {
        "families/__init__.py": "from identikit.families.sites import sites\n",
        "families/sites.py": "from identikit.families import family_of\n",
    }
    (only,) = said(floors.check_circles, files)
    assert only.startswith("families/__init__.py:1: import circle: ")


def test_a_painter_makes_no_circle() -> None:
    painted = "class R:\n    def __repr__(self):\n        from identikit.reporting import text\n"
    files = {"results.py": painted, "reporting/text.py": "from identikit.results import R\n"}
    assert said(floors.check_circles, files) == []


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"sources/data.py": "import datasets\n"}, "sources/data.py:1: imports datasets when it is loaded"),
        (
            {"nn/a.py": "try:\n    import timm\nexcept ImportError:\n    raise\n"},
            "nn/a.py:2: imports timm when it is loaded",
        ),
        ({"nn/a.py": "class A:\n    import timm.models\n"}, "nn/a.py:2: imports timm when it is loaded"),
        ({"plan.py": "def f():\n    import torch\n"}, "plan.py:2: imports torch: plan works without it"),
        ({"__init__.py": "from torch import nn\n"}, "__init__.py:1: imports torch: __init__ works without it"),
    ],
)
def test_libraries_can_fail(files: dict[str, str], rule: str) -> None:
    (only,) = said(floors.check_libraries, files)
    assert only.startswith(rule)


def test_libraries_let_through() -> None:
    top = "import os\nimport torch\nfrom typing import TYPE_CHECKING\n"
    later = "if TYPE_CHECKING:\n    import timm\ndef f():\n    import timm\n"
    files = {"nn/a.py": top + later, "tabular/a.py": "from sklearn.base import BaseEstimator\n"}
    assert said(floors.check_libraries, files) == []


def function(lines: int) -> str:
    body = "".join(f"    x = {number}\n" for number in range(lines - 1))
    return f'def f():\n    """Two\n    lines."""\n\n    # a comment\n{body}'


@pytest.mark.parametrize(
    ("check", "files", "rule"),
    [
        (manners.check_opening, {"nn/a.py": "import os\n"}, "nn/a.py:1: no docstring opens the file"),
        (manners.check_opening, {"nn/__init__.py": ""}, "nn/__init__.py:1: no docstring opens the file"),
        (manners.check_names, {"nn/utils.py": ""}, "nn/utils.py:1: a file called utils"),
        (manners.check_length, {"nn/a.py": "x = 1\n" * 251}, "nn/a.py:251: 251 lines; a file has at most 250"),
        (
            manners.check_length,
            {"nn/a.py": function(41)},
            "nn/a.py:1: f has 41 lines of code; a function has at most 40",
        ),
        (manners.check_printing, {"nn/a.py": "def f():\n    print(1)\n"}, "nn/a.py:2: prints; only cli/ does"),
        (manners.check_swallowing, {"nn/a.py": "try:\n    f()\nexcept:\n    raise\n"}, "nn/a.py:3: bare except"),
        (
            manners.check_swallowing,
            {"nn/a.py": "try:\n    f()\nexcept OSError:\n    ...\n"},
            "nn/a.py:3: an error is caught and dropped",
        ),
        (
            manners.check_swallowing,
            {"nn/a.py": "try:\n    f()\nexcept OSError as error:\n    pass\n"},
            "nn/a.py:3: an error is caught and dropped",
        ),
    ],
)
def test_manners_can_fail(check: Check, files: dict[str, str], rule: str) -> None:
    (only,) = said(check, files)
    assert only.startswith(rule)


@pytest.mark.parametrize(
    ("check", "files"),
    [
        (manners.check_length, {"nn/a.py": "x = 1\n" * 250, "nn/b.py": function(40)}),
        (manners.check_printing, {"cli/a.py": "print(1)\n", "nn/a.py": "console.print(1)\n"}),
        (manners.check_swallowing, {"nn/a.py": "try:\n    f()\nexcept OSError as error:\n    raise E from error\n"}),
    ],
)
def test_manners_let_through(check: Check, files: dict[str, str]) -> None:
    assert said(check, files) == []
