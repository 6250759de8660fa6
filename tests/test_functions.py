"""`file.py:function` is found, run once, and every way of getting it wrong is said in one line."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from identikit.errors import DataError, IdentikitError, ModelError
from identikit.functions import call_function, load_function, names_function

CODE = """
import helper
import numpy as np

number = 3

class Made:
    pass

def build(seed=1):
    return helper.value + seed

def needs(colour):
    return colour

def fails():
    raise ValueError("no such thing\\nsecond line")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of functions, and a module beside it that it imports."""
    (tmp_path / "helper.py").write_text("value = 40\n")
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_finds_the_function_and_imports_from_its_folder(file: Path) -> None:
    before = list(sys.path)
    assert load_function(f"{file}:build")(seed=2) == 42
    assert sys.path == before


def test_a_file_runs_once_for_each_version(file: Path) -> None:
    first = load_function(f"{file}:Made")
    assert load_function(f"{file}:Made") is first
    assert isinstance(pickle.loads(pickle.dumps(first())), first)
    file.write_text(CODE + "\nclass Made2: pass\n")
    assert load_function(f"{file}:Made") is not first


def test_call_gives_only_what_is_named(file: Path) -> None:
    assert call_function(f"{file}:build", {"seed": 5, "device": "cpu"}) == 45


def test_names_function() -> None:
    assert names_function("a/b.py:f")
    assert names_function("a/b.py")
    assert not names_function("a/b.csv")
    assert not names_function("org/model")
    assert names_function(r"C:\mine.py:f")


def test_no_such_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    with pytest.raises(ModelError) as caught:
        load_function("min.py:build", error=ModelError)
    assert str(caught.value) == f'no file "min.py" in {file.parent}. Did you mean "mine.py"?'


def test_no_such_function(file: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_function(f"{file}:biuld", error=DataError)
    listed = "It has: Made, build, needs, fails."
    assert str(caught.value) == f'no function "biuld" in {file}. Did you mean "build"? {listed}'


def test_not_a_function(file: Path) -> None:
    with pytest.raises(IdentikitError) as caught:
        load_function(f"{file}:number")
    assert str(caught.value) == f'"number" in {file} is an int, not a function. Write: def number(): return ...'


def test_function_left_out(file: Path) -> None:
    for spec in (f"{file}", f"{file}:"):
        with pytest.raises(IdentikitError) as caught:
            load_function(spec)
        assert str(caught.value) == f'"{file}" is a file; say which function: {file}:Made.'


def test_no_python_file() -> None:
    with pytest.raises(IdentikitError) as caught:
        load_function("data.csv:build")
    assert str(caught.value) == '"data.csv:build" names no function. Write file.py:function.'


def test_file_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(IdentikitError) as caught:
        load_function(f"{path}:build")
    said = "ZeroDivisionError: division by zero (broken.py, line 2)"
    assert str(caught.value) == f'"{path}" failed while it was read: {said}'
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not [name for name in sys.modules if name.startswith("identikit_user_broken")]


def test_file_with_a_syntax_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("def f(:\n")
    with pytest.raises(IdentikitError, match="failed while it was read: SyntaxError"):
        load_function(f"{path}:f")


def test_function_that_fails(file: Path) -> None:
    with pytest.raises(DataError) as caught:
        call_function(f"{file}:fails", {}, error=DataError)
    assert str(caught.value) == f'"{file}:fails" failed: ValueError: no such thing (mine.py, line 17)'
    assert isinstance(caught.value.__cause__, ValueError)


def test_function_that_needs_more(file: Path) -> None:
    with pytest.raises(IdentikitError) as caught:
        call_function(f"{file}:needs", {"seed": 0, "device": "cpu"})
    offers = 'needs the argument "colour", which is not on offer (on offer: device, seed). Give it a default.'
    assert str(caught.value) == f'"{file}:needs" {offers}'


def test_needs_no_torch() -> None:
    code = "import sys, identikit.functions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
