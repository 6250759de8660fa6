"""Install the built wheel in clean environments, one after the other, and run the laws there on the sdist's own tests.

    python scripts/compatibility.py                      every environment below (an hour on one core)
    python scripts/compatibility.py none hf              these alone; the others keep what they said last
    python scripts/compatibility.py --own-torch NAME     here, with the torch that this Python has (another Python)

Needs uv (`pip install uv`) and, beside it, hatchling. Environments are made below a temporary folder and removed. torch
is held at the version of constraints.txt, since other versions may be gigabytes; `--own-torch` is for the others.
Writes benchmarks/results/compatibility.json and the table of docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compatibility_page import RESULT, write

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["pytest>=8.3", "pytest-timeout>=2.3", "hypothesis>=6.120", "jsonschema>=4.23", "packaging"]
SHOWN = ("torch", "transformers", "sentence-transformers", "datasets", "timm", "scikit-learn", "numpy", "safetensors",
         "typer", "rich", "torchmetrics", "matplotlib", "jinja2", "peft", "accelerate", "onnx", "onnxscript",
         "onnxruntime", "ray")  # fmt: skip
#: Undone is undone, bypassed is removed, saved is loaded, a scan is the plain loop; and a cache changes no logits.
LAWS = ("tests/laws/test_edit_laws.py", "tests/laws/test_saving_laws.py", "tests/replaying/test_zoo.py")
DECODING = "tests/laws/test_decoding.py"
ALWAYS = ("tests/laws/test_plan_laws.py", "tests/test_missing_extras.py")  # no zoo in them
FEW = ("nested bert", "nested")  # of the zoo, for each extra: with transformers, and without
MANY = "nested resnet bert llama gpt2 t5 vit"  # for each set of versions
MODELS = "identikit[hf,timm,tabular,metrics,report,heal,export,scale]"


@dataclass(frozen=True)
class Cell:
    """One environment: what is installed in it, and what is run there. `own`: an extra's own tests."""

    name: str
    install: str
    own: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    lowest: bool = False
    versions: bool = False


SENTENCES = "test_sentence_transformers.py::test_a_shortened_model_loads_with_both_libraries"
TIMM, HTML, PLOTS = (
    f"tests/{name}.py::test_" for name in ("families/test_timm", "reporting/test_html", "reporting/test_plots")
)
CELLS = (
    Cell("none", "identikit"),
    Cell("hf", "identikit[hf]"),
    Cell("timm", "identikit[timm]", (f"{TIMM}memory_formats_and_dtypes", f"{TIMM}blocks_lie_in_stages")),
    Cell("tabular", "identikit[tabular]", ("tests/tabular/test_training.py::test_it_learns",)),
    Cell("metrics", "identikit[metrics]", ("tests/metrics/test_torchmetric.py::test_it_equals_torchmetrics",)),
    Cell("report", "identikit[report]", (f"{HTML}report_writes_and_methods_report", f"{PLOTS}the_curve_is_the_front")),
    Cell("heal", "identikit[heal]", ("tests/healing/test_lora.py::test_adapters_learn_and_are_merged",)),
    Cell("export", "identikit[export]", ("tests/exporting/test_export.py::test_a_table",)),
    Cell("scale", "identikit[scale]", ("tests/crews/test_ray.py::test_rows_are_those_of_one_process",)),
    Cell("demo", "identikit[demo]", (f"tests/families/{SENTENCES}",)),
    Cell("docs", "identikit[docs]"),
    Cell("all", "identikit[all]"),
    Cell("transformers 4", MODELS, constraints=("transformers<5",), versions=True),
    Cell("oldest", MODELS, lowest=True, versions=True),
)


def main() -> int:
    """Build, make each environment, run, write. Returns 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="environments: " + ", ".join(cell.name for cell in CELLS))
    parser.add_argument("--own-torch", metavar="NAME", help="one environment, with the torch that is here")
    parser.add_argument("--result", type=Path, default=ROOT / RESULT, help="the file to write")
    parser.add_argument("--join", type=Path, help="the result of a run elsewhere, taken over; nothing is run")
    parser.add_argument("--built", type=Path, help="a folder with the wheel and the sdist; nothing is built")
    told = parser.parse_args()
    cells = [cell for cell in CELLS if not told.names or cell.name in told.names]
    if told.own_torch:
        cells = [Cell(told.own_torch, "identikit[hf]")]
    found: dict[str, Any] = json.loads(told.result.read_text()) if told.result.is_file() else {"cells": {}}
    found["asked"] = [cell.name for cell in CELLS]
    if told.join:
        found["cells"] |= json.loads(told.join.read_text())["cells"]
        told.result.write_text(json.dumps(found, indent=1) + "\n")
        write(found, ROOT)
        return 0
    with tempfile.TemporaryDirectory(prefix="identikit-compatibility-") as place:
        wheel, tests = built(Path(place), told.built)
        for cell in cells:
            environment = Environment(cell, Path(place), wheel, tests, own_torch=bool(told.own_torch))
            found["cells"][cell.name] = environment.run()
            order = [*(each.name for each in CELLS), *found["cells"]]
            found["cells"] = {name: found["cells"][name] for name in dict.fromkeys(order) if name in found["cells"]}
            told.result.write_text(json.dumps(found, indent=1) + "\n")
            print(cell.name, json.dumps(found["cells"][cell.name]["tests"]), flush=True)
    if told.result == ROOT / RESULT:
        write(found, ROOT)
    ran = [found["cells"][cell.name] for cell in cells]
    return int(any(each["problems"] or each["tests"]["failed"] for each in ran))


def built(place: Path, given: Path | None) -> tuple[Path, Path]:
    """The wheel, and the unpacked sdist, whose tests are run: built from this checkout, or found in `given`."""
    folder = given or place / "dist"
    if given is None:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(place / "sdist", filter="data")
    (unpacked,) = (place / "sdist").iterdir()
    return wheel, unpacked


class Environment:
    """A clean environment for one cell; nothing of it is left afterwards."""

    def __init__(self, cell: Cell, place: Path, wheel: Path, tests: Path, *, own_torch: bool) -> None:
        self.cell, self.wheel, self.tests, self.own_torch = cell, wheel, tests, own_torch
        self.folder, self.place = place / "environment", place
        self.python = self.folder / "bin" / "python"
        self.around = {
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }  # fmt: skip

    def run(self) -> dict[str, Any]:
        """What is installed, what was run, what came out."""
        began = time.monotonic()
        try:
            self._install()
            problems = self._problems()
            tests = self._pytest()
            versions = self._versions()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        return {
            "date": time.strftime("%Y-%m-%d"), "python": versions.pop("python"), "install": self.cell.install,
            "versions": versions, "problems": problems, "tests": tests, "seconds": round(time.monotonic() - began),
        }  # fmt: skip

    def _install(self) -> None:
        """The wheel with its extras; torch stays what it is."""
        own = ["--system-site-packages"] if self.own_torch else []
        self._uv("venv", "--quiet", "--clear", "--python", sys.executable, *own, str(self.folder))
        lines = [*self.cell.constraints, *([] if self.own_torch else [_pinned("torch")])]
        lines += self._lower_bounds() if self.cell.lowest else []
        constraints = self.place / "constraints.txt"
        constraints.write_text("\n".join(lines) + "\n")
        wanted = f"{self.cell.install} @ {self.wheel.as_uri()}"
        common = ["--quiet", "--python", str(self.python), "--constraint", str(constraints)]
        if self.own_torch:  # uv does not see what lies outside: all but torch, whoever asks for it
            override = self.place / "override.txt"
            override.write_text("torch ; sys_platform == 'never'\n")
            asked = [line for line in self._asked(self.cell.install) if not line.startswith("torch>")]
            self._uv("pip", "install", *common, "--override", str(override), *TOOLS, *asked)
            self._uv("pip", "install", *common, "--no-deps", wanted)
        else:
            self._uv("pip", "install", *common, wanted, *TOOLS)
        if any(self.folder.glob("lib/*/site-packages/torchvision")):
            self._run(str(self.python), str(ROOT / "scripts" / "torchvision_without_cuda.py"))

    def _asked(self, extras: str) -> list[str]:
        """The requirements of the wheel and of these extras, without their markers."""
        from email.parser import Parser
        from zipfile import ZipFile

        with ZipFile(self.wheel) as file:
            name = next(name for name in file.namelist() if name.endswith("METADATA"))
            lines = Parser().parsestr(file.read(name).decode()).get_all("Requires-Dist") or []
        chosen = set(re.findall(r"[a-z]+", extras))
        found = [re.match(r"([^;]*?)\s*(?:;.*extra == '(\w+)')?$", line) for line in lines]
        return [match[1] for match in found if match and (match[2] is None or match[2] in chosen)]

    def _lower_bounds(self) -> list[str]:
        """Each requirement at the oldest version that it names."""
        return [line.replace(">=", "==") for line in self._asked(self.cell.install) if not line.startswith("torch>")]

    def _problems(self) -> list[str]:
        """What is wrong beside the tests: an import that is heavy or comes from elsewhere, a command that fails."""
        code = "import identikit, sys; print('torch' in sys.modules, identikit.__file__)"
        heavy, _, home = self._run(str(self.python), "-c", code).partition(" ")
        problems = [] if heavy == "False" else ["import identikit imports torch"]
        problems += [] if str(self.folder) in home else [f"identikit comes from {home}"]
        command = str(self.folder / "bin" / "identikit")
        for asked, said in (("--version", "identikit "), ("--help", "Usage")):
            problems += [] if said in self._run(command, asked) else [f"identikit {asked}"]
        return problems

    def _pytest(self) -> dict[str, Any]:
        """What pytest counts, and the names of what failed."""
        zoo = MANY if self.cell.versions else FEW[not re.search("hf|all", self.cell.install)]
        self.around["IDENTIKIT_COMPATIBILITY"] = zoo
        code = "import json, sys; sys.path.insert(0, 'tests'); import zoo; print(json.dumps(zoo.ABSENT))"
        told = self._run(str(self.python), "-c", code, cwd=self.tests) if "bert" in zoo else "{}"
        absent = json.loads(told.splitlines()[-1])
        total: dict[str, Any] = {"passed": 0, "failed": 0, "skipped": 0, "names": [], "zoo": zoo, "absent": absent}
        own = [*ALWAYS, *self.cell.own]
        named = [*zoo.split(), *(Path(each.partition("::")[0]).stem for each in own)]
        asked = [*LAWS, *([DECODING] if self.cell.versions else []), *own, "-k", " or ".join(named)]
        report = self.place / "report.xml"
        report.unlink(missing_ok=True)
        pytest = [str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *asked]
        said = self._run(*pytest, cwd=self.tests, check=False)
        if not report.is_file():
            raise SystemExit(f"pytest did not run in {self.cell.name}:\n{said[-3000:]}")
        _count(report, total)
        return total

    def _versions(self) -> dict[str, str]:
        code = (
            "import json, platform\nfrom importlib.metadata import version, PackageNotFoundError\nfound = {}\n"
            f"for name in {SHOWN!r}:\n    try:\n        found[name] = version(name)\n    except PackageNotFoundError:\n"
            "        continue\nprint(json.dumps({'python': platform.python_version(), **found}))"
        )
        return dict(json.loads(self._run(str(self.python), "-c", code)))

    def _uv(self, *arguments: str) -> None:
        links = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if os.environ.get("PIP_FIND_LINKS") else {}
        uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
        self._run(uv, *arguments, more=links)

    def _run(
        self, *command: str, cwd: Path | None = None, check: bool = True, more: dict[str, str] | None = None
    ) -> str:
        """What a command says; where it fails and that is not asked about, the end."""
        environment = {**os.environ, **self.around, **(more or {})}
        at = cwd or self.place
        run = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=False)
        if check and run.returncode:
            raise SystemExit(f"{self.cell.name}: {' '.join(command)}\n{run.stdout[-1500:]}{run.stderr[-3000:]}")
        return run.stdout + run.stderr if not check else run.stdout.strip()


def _count(report: Path, total: dict[str, Any]) -> None:
    """Add what a report of pytest says."""
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        total[kind] += 1
        if kind == "failed":
            total["names"].append(f"{case.get('classname')}::{case.get('name')}")


def _pinned(name: str) -> str:
    return next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith(f"{name}=="))


if __name__ == "__main__":
    print(f"Python {platform.python_version()}", flush=True)
    sys.exit(main())
