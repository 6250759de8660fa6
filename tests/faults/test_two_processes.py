"""Two processes on one folder: one is at work, the other is told whose turn it is; a killed one blocks nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import identikit as ik
from faults import verbs
from faults.verbs import data, facts, net
from identikit.errors import SaveError

TESTS = str(Path(__file__).parents[1])
#: Begins the verb in another process, says so in the middle of it, and goes on when it is told to.
SCRIPT = """
    import sys
    from pathlib import Path
    from faults import verbs
    name, place = sys.argv[1:]
    waited = []
    def wait(own):
        def first(self, *args, **kwargs):
            if not waited:
                waited.append(1)
                print("in", flush=True)
                sys.stdin.readline()
            return own(self, *args, **kwargs)
        return first
    from identikit.families.plain import Family
    from identikit.healing.training import Training
    from identikit.scanning.part import Part
    Part.note, Training._step, Family.rebuild = wait(Part.note), wait(Training._step), wait(Family.rebuild)
    verb = next(each for each in verbs.verbs() if each.name == name)
    verb.run(Path(place), False)
    print("done", flush=True)
"""


@contextmanager
def at_work(name: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of the verb; let go on when the block ends, unless it is gone by then."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), name, str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": TESTS},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "in\n"
        yield child
        if child.poll() is None:
            child.stdin.write("go on\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def refused(verb: Callable[[], Any], child: subprocess.Popen[str]) -> None:
    with pytest.raises(SaveError) as error:
        verb()
    assert f" is being written by process {child.pid}. Wait for it to end, or write to another file." in str(
        error.value
    )


LONG = pytest.mark.long  # each starts a Python with torch


@pytest.mark.parametrize("name", ["scan", *(pytest.param(each, marks=LONG) for each in ("replace", "prune", "heal"))])
def test_whoever_comes_second_is_refused(name: str, tmp_path: Path) -> None:
    """In whichever way he comes: anew, to go on, or to replace. The first one ends as if nobody had come."""
    verb = next(each for each in verbs.verbs() if each.name == name)
    place, alone = tmp_path / "place", tmp_path / "alone"
    for folder in (place, alone):
        folder.mkdir()
        verb.first(folder)
    verb.run(alone, False)
    with at_work(name, place) as child:
        refused(lambda: verb.run(place, False), child)
        refused(lambda: verb.run(place, True), child)
        if name == "scan":
            over = {"to": place / "a.jsonl", "costs": False, "progress": False, "overwrite": True}
            refused(lambda: ik.scan(net(), data(), **over), child)
    assert verb.told(place) == verb.told(alone)
    assert sorted(os.listdir(place)) == sorted(os.listdir(alone))


@pytest.mark.parametrize("name", ["scan", pytest.param("heal", marks=LONG)])
def test_a_killed_one_blocks_nobody(name: str, tmp_path: Path) -> None:
    verb = next(each for each in verbs.verbs() if each.name == name)
    with at_work(name, tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert any(each.endswith(".identikit-lock") for each in os.listdir(tmp_path))
    found = verb.run(tmp_path, True)
    assert not any(each.endswith(".identikit-lock") for each in os.listdir(tmp_path))
    if name == "heal":
        assert verb.gives(found) == verbs.healed()
    else:
        assert verb.told(tmp_path) == facts(ik.scan(net(), data(), costs=False, engine="loop", progress=False))


@LONG
def test_the_same_result_by_another_name(tmp_path: Path) -> None:
    """A link to the result is the result."""
    (tmp_path / "a.jsonl").symlink_to("real.jsonl")
    (tmp_path / "real.jsonl").write_bytes(b"")
    with at_work("rescan", tmp_path) as child:
        how: dict[str, Any] = {"to": tmp_path / "real.jsonl", "overwrite": True, "costs": False, "progress": False}
        refused(lambda: ik.scan(net(), data(), **how), child)
    assert (tmp_path / "a.jsonl").is_symlink()
    assert len(ik.ScanResult.read(tmp_path / "real.jsonl")) == 4


def test_a_plan_written_by_many_at_once(tmp_path: Path) -> None:
    """Without a lock: each file is one of those that were written, whole, and nothing is left beside it."""
    script = """
        import sys
        import identikit as ik
        for number in range(40):
            ik.Plan.of([f"layers.{number}" for number in range(int(sys.argv[2]))]).write(sys.argv[1])
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "plan.json")]
    writers = [subprocess.Popen([*command, str(number)]) for number in (1, 50, 400)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert len(ik.Plan.read(tmp_path / "plan.json").edits) in (1, 50, 400)
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_heal_checkpoint_of_a_killed_writer_is_cleared_away(tmp_path: Path) -> None:
    """A half-written checkpoint is as large as the model; the next run does not leave it there."""
    left = tmp_path / ".a.heal.0123abcd.part"
    left.write_bytes(b"half")
    (tmp_path / ".a.heal.0123abcd.part.mine").write_bytes(b"mine")
    verbs.heal(tmp_path, again=False)
    assert sorted(os.listdir(tmp_path)) == [".a.heal.0123abcd.part.mine", "a.heal"]
    assert torch.load(tmp_path / "a.heal", weights_only=True)["state"]["course"]["step"] == 3
