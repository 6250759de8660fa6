"""Result files from a stranger, and files to go on from. (tests/results/test_hostile.py has every field of them.)"""

from __future__ import annotations

import ast
import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
import sample_results as sample
import small_net
from identikit import strict_json
from identikit.errors import ResultError, SaveError, TableError
from identikit.healing.checkpoint import FORMAT, Checkpoint
from identikit.locks import locked
from identikit.plan import Edit, Plan
from identikit.reporting import repeat
from identikit.reporting.numbers import clean
from identikit.results import Front, MetricInfo, Point, Row, ScanResult, Score
from identikit.results.read import read_result
from identikit.scanning.filed import Filed
from identikit.scanning.part import Part
from identikit.tabular import ResNetClassifier
from identikit.tensors import name_of
from security.traps import HOSTILE_TEXTS, Bomb, pickled, refused

PLACES = ['a");__import__("os").abort()#', "a');__import__('os').abort()#", "{__import__('os').abort()}", "a\"'b"]


@pytest.mark.parametrize("text", ["[" * 10**5, '{"format": NaN}', '{"a": 1e999}', "9" * 10**4, '"\\ud800"', "{", ""])
def test_a_front_that_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    path.write_text(text)
    refused(lambda: Front.read(path), ResultError)
    refused(lambda: read_result(path), ResultError)


def test_a_front_of_absurd_size(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    with path.open("wb") as file:
        file.write(b'{"format": "identikit.front"')
        file.truncate(strict_json.LARGEST_FILE + 1)
    assert "more than the 67,108,864 that one may have" in refused(lambda: read_result(path), ResultError)


@pytest.mark.parametrize("name", ["pickle", "folder", "device"])
def test_what_is_no_result_file(name: str, tmp_path: Path, bomb: Bomb) -> None:
    path = {"pickle": tmp_path / "scan.jsonl", "folder": tmp_path, "device": Path("/dev/zero")}[name]
    if name == "pickle":
        path.write_bytes(pickled(bomb))
    refused(lambda: read_result(path), ResultError)
    refused(lambda: ScanResult.read(path), ResultError)


@pytest.mark.parametrize("place", PLACES)
def test_lines_to_paste_call_what_they_say_alone(place: str) -> None:
    """The Python lines of a report are meant to be pasted: no name in them may become code."""
    scan = ScanResult(
        sample.header(sites={}, name=place, metrics={place: MetricInfo(True, 1.0)}), [Row((place,), place, 1.0, 1.0, 0)]
    )
    header = sample.header(sites={})
    points = [Point((), {"fidelity": Score(1.0, 1.0, 0.0)}), Point((place, "b"), {"fidelity": Score(1.0, 1.0, 0.0)})]
    front = Front(header, tuple(points), 1)
    assert called(repeat.scan_python(scan)) == {"ik.scan", "print", "ik.bypass"}
    assert called(repeat.front_python(front)) == {"ik.remove", "ik.Plan.of", "ik.save"}
    named = [node.value for node in ast.walk(ast.parse(repeat.front_python(front))) if isinstance(node, ast.Constant)]
    assert place in named


def called(lines: str) -> set[str]:
    """What Python lines call."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Call)}


QUOTES = ["a; touch b", "$(touch b)", "`touch b`", "a' 'b", 'a" "b', "a\\", "a|b&", "-a", "~"]


@pytest.mark.parametrize("text", [*QUOTES, *HOSTILE_TEXTS.values()])
def test_a_name_is_one_word_of_a_command_to_paste(text: str) -> None:
    """A shell makes of the line what stands in it: the name, whole, and nothing that is run."""
    header = sample.header(name=text, command="", sites={})
    for line in (
        repeat.scan_command(ScanResult(header, [])),
        repeat.front_command(Front(header, sample.front().points, 0)),
    ):
        words = shlex.split(line)
        assert words[0] == "identikit"
        assert clean(text) in words


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_a_command_to_paste_is_one_line_of_quoted_words(text: str) -> None:
    header = sample.header(name=text, command="", sites={})
    for line in (
        repeat.scan_command(ScanResult(header, [])),
        repeat.front_command(Front(header, sample.front().points, 0)),
        repeat.scan_command(ScanResult(sample.header(command=text), [])),
    ):
        assert line.isprintable()


def heal(state: Any, path: Path) -> str:
    torch.save(state, path)
    return refused(lambda: Checkpoint(path, {"model": "x"}, every=1.0, resume=True, writes=True), ResultError)


def test_a_healing_to_go_on_with_is_no_code(tmp_path: Path, bomb: Bomb) -> None:
    path = tmp_path / "x.heal"
    assert "is damaged, or no healing" in heal({"format": FORMAT, "about": {"model": "x"}, "state": bomb}, path)
    assert "is no healing" in heal({"format": FORMAT, "about": [], "state": {}}, path)
    assert "is no healing" in heal([1, 2], path)
    path.write_bytes(pickled(bomb))
    refused(lambda: Checkpoint(path, {}, every=1.0, resume=True, writes=True), ResultError)


HUGE = b'{"score": "a", "value": 1' + b"0" * 400 + b"}"
PART = [b"NaN", b"[" * 10**5, HUGE, b'{"batch": [], "plan": 1}', b"[]", b"7"]


@pytest.mark.parametrize("line", PART, ids=range(len(PART)))
def test_values_to_go_on_with(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.jsonl.part"
    path.write_bytes(json.dumps({"format": "identikit.part", "version": 1, "run": {}}).encode() + b"\n" + line + b"\n")
    part = Part(path, {})
    refused(lambda: part.open(resume=True, overwrite=False), ResultError)
    part.close(done=False)


def test_an_estimator_is_no_code(tmp_path: Path, bomb: Bomb) -> None:
    facts = {"format": "identikit-tabular-resnet", "version": 1, "estimator": "ResNetClassifier"}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    (tmp_path / "weights.safetensors").write_bytes(pickled(bomb))
    assert "is damaged" in refused(lambda: ResNetClassifier.load(tmp_path), TableError)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's that a link in a stranger's folder leads to."""
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


def test_a_lock_that_is_a_link(tmp_path: Path, victim: Path) -> None:
    """The lock has a name that nobody gave: a folder that was unpacked may hold it already."""
    (tmp_path / ".scan.jsonl.identikit-lock").symlink_to(victim)

    def take() -> None:
        with locked(tmp_path / "scan.jsonl"):
            raise AssertionError("the link was followed")

    assert "identikit-lock is a link, and identikit's lock must be a file." in refused(take, SaveError)
    assert victim.read_text() == "precious"
    os.unlink(tmp_path / ".scan.jsonl.identikit-lock")
    with locked(tmp_path / "scan.jsonl"):
        assert victim.read_text() == "precious"


def test_a_name_that_was_given_and_is_a_link_is_followed(tmp_path: Path, victim: Path) -> None:
    """As an editor does: who has `results.json` lead to another disk means that. The link stays, the file is whole."""
    sample.front().write(victim)
    (tmp_path / "front.json").symlink_to(victim)
    (tmp_path / "plan.json").symlink_to(tmp_path / "elsewhere.json")
    front = sample.held_front()
    front.write(tmp_path / "front.json")
    front.plan().write(tmp_path / "plan.json")
    assert (tmp_path / "front.json").is_symlink()
    assert (tmp_path / "plan.json").is_symlink()
    assert Front.read(victim) == front
    assert Plan.read(tmp_path / "elsewhere.json") == front.plan()


def test_tensors_beside_a_plan_that_are_a_link(tmp_path: Path, victim: Path) -> None:
    """Their name is identikit's own, made of the plan's: a link under it is nobody's wish."""
    held = torch.ones(3)
    plan = Plan(frozenset([Edit("mean", "layers.1", (("value", name_of(held)),))]), tensors={name_of(held): held})
    for target in (victim, tmp_path / "nothing"):
        (tmp_path / "plan.safetensors").symlink_to(target)
        said = refused(lambda: plan.write(tmp_path / "plan.json"), SaveError)
        assert said == f"{tmp_path}/plan.safetensors is a link, and this file is identikit's own. Delete it, and go on."
        (tmp_path / "plan.safetensors").unlink()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "plan.json").exists()


def test_rows_of_held_out_examples_that_are_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "front.held-out.jsonl").symlink_to(victim)
    asked = {"to": tmp_path / "front.jsonl", "overwrite": True, "drop": 1, "progress": False}
    said = refused(lambda: ik.prune(small_net.made(), small_net.batches() * 8, **asked), SaveError)
    assert "front.held-out.jsonl is a link, and this file is identikit's own" in said
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing"])
def test_values_that_are_a_link(there: bool, tmp_path: Path, victim: Path) -> None:
    if not there:
        victim.unlink()
    (tmp_path / "scan.jsonl.part").symlink_to(victim)
    part = Part(tmp_path / "scan.jsonl.part", {})
    assert "is a link, and this file is identikit's own" in refused(
        lambda: part.open(resume=False, overwrite=True), SaveError
    )
    part.close(done=False)
    assert victim.exists() is there
    (tmp_path / "scan.jsonl.new").symlink_to(victim)
    refused(lambda: Filed(tmp_path / "scan.jsonl", resume=False, overwrite=True), SaveError)
    assert victim.exists() is there
