"""The fuzzer itself for some seconds: every target sound, and a reader that is wrong found."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = 3_000  # inputs of each target, the same in each run; `make fuzz` tries others, for as long as it is given
#: There is no wheel of atheris for every machine. `make setup` installs it where there is one, and CI runs this there.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris: make setup on x86-64 Linux"),
]


def fuzz(*arguments: str, path: Path = ROOT / "tests") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "fuzz", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_every_target_is_sound(tmp_path: Path) -> None:
    done = fuzz("--runs", str(RUNS), "--to", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    assert done.stdout.endswith("all sound\n")
    tried = [int(count) for count in re.findall(r"stat::number_of_executed_units: (\d+)", done.stderr)]
    assert len(tried) == 6
    assert min(tried) > RUNS / 3, "a target is too slow for its share of the minute"


WRONG = """
import identikit.places
sound = identikit.places.expand
def wrong(place, paths, **model):
    if place.startswith("en") and ":" in place:
        return ["another"]
    return sound(place, paths, **model)
identikit.places.expand = wrong
"""


def test_a_reader_that_is_wrong_is_found(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WRONG)
    done = fuzz("--seconds", "20", "--to", str(tmp_path / "out"), "places", path=tmp_path)
    assert done.returncode == 1
    assert done.stdout.endswith("1 targets, at most 20 s each: BROKEN: places\n")
    assert "means ['another']" in done.stdout + done.stderr
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith("places-broken-crash-")]
