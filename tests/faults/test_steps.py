"""At whichever step of a verb the disk, the process or the user stops it: nothing is lost, the next run ends well."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from faults.injector import KINDS, Disk, Killed, Kind, watched
from faults.verbs import Verb, verbs
from identikit.errors import IdentikitError
from laws.snapshot import Snapshot

SAID = {"full": "the disk is full", "denied": "no permission", "readonly": "read-only disk", "broken": "Input/output"}
VERBS = {verb.name: verb for verb in verbs()}
LASTING = ("killed", "denied", "readonly")  # nothing can be put back then


@functools.cache
def unbroken(name: str) -> tuple[Any, Any, list[str], int]:
    """What stands there in the end, what the verb gives, all names then, and how many steps that took."""
    verb = VERBS[name]
    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / "p"
        prepared(verb, place)
        with watched(place) as disk:
            given = verb.gives(verb.run(place, False))
        return verb.told(place), given, names(place), len(disk.steps)


def prepared(verb: Verb, place: Path) -> Any:
    """A folder with what the verb replaces, and with what is none of its business."""
    if place.exists():
        shutil.rmtree(place)
    place.mkdir()
    verb.first(place)
    (place / "mine.txt").write_text("mine")
    return verb.told(place)


def names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def check(name: str, kind: Kind, at: int, tmp_path: Path) -> Disk:
    """The law, for one fault at one step."""
    verb, place = VERBS[name], tmp_path / "p"
    new, given, left, _ = unbroken(name)
    old = prepared(verb, place)
    before = [(model, Snapshot(model)) for model in verb.models()]
    with watched(place, kind, at) as disk:
        stopped = stop_of(verb, place)
    where = f"{kind} at {at}, {disk.steps[at - 1 : at]}: {stopped}"
    if isinstance(stopped, IdentikitError):
        assert "\n" not in str(stopped), where
        assert SAID[kind] in str(stopped), where
        assert str(place) in str(stopped), where
    elif stopped is not None:
        assert disk.fired, where
        assert isinstance(stopped, Killed) == (kind == "killed"), where
    for model, snapshot in before:
        assert snapshot.changes(model) == [], where
    assert (place / "mine.txt").read_text() == "mine"
    found = verb.told(place)
    whole = found in (old, new) or (verb.grows and found is None) or (verb.grows and part_of(found, new))
    broken_off = kind in LASTING and old is not None and found is None and comes_back(place)
    assert whole or broken_off, where
    assert verb.gives(verb.run(place, True)) == given, where
    assert verb.told(place) == new, where
    assert names(place) == left, where
    return disk


def stop_of(verb: Verb, place: Path) -> BaseException | None:
    """What stopped the verb; None where it came to its end. Any other error is a mistake."""
    try:
        verb.run(place, False)
    except (Killed, KeyboardInterrupt, IdentikitError) as stopped:
        return stopped
    return None


def part_of(some: Any, whole: Any) -> bool:
    """Whether rows are some of the whole's, or pairs of rows are."""
    if isinstance(some, list) and some and isinstance(some[0], list):
        return all(part_of(*pair) for pair in zip(some, whole, strict=True))
    return isinstance(some, list) and all(row in whole for row in some)


def comes_back(place: Path) -> bool:
    """Whether what was replaced is set aside, between two renamings: the next run puts it back first."""
    return any(path.name.startswith((".x.old-", ".m.onnx.partial-")) for path in place.iterdir())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VERBS)
def test_some_steps(name: str, kind: Kind, tmp_path: Path) -> None:
    """The first step, the last one, and a few in between that another kind of fault takes elsewhere."""
    steps = unbroken(name)[3]
    stride = max(1, steps // 2)
    for at in range(1 + (KINDS.index(kind) * steps // len(KINDS)) % stride, steps + 1, stride):
        check(name, kind, at, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", VERBS)
def test_every_step(name: str, tmp_path: Path) -> None:
    """Every step, each by another kind than its neighbours."""
    for at in range(1, unbroken(name)[3] + 1):
        check(name, KINDS[at % len(KINDS)], at, tmp_path)


def test_steps_are_counted(tmp_path: Path) -> None:
    """What the injector sees: no more and no less than what is done to the disk."""
    with watched(tmp_path) as disk:
        (tmp_path / "a").mkdir()
        with (tmp_path / "a" / "b").open("w") as file:
            file.write("text")
            file.flush()
            os.fsync(file.fileno())
        (tmp_path / "a" / "b").rename(tmp_path / "c")
        shutil.copyfile(tmp_path / "c", tmp_path / "d")
        (tmp_path / "d").read_text()
        shutil.rmtree(tmp_path / "a")
    first, last = ["mkdir a", "open a/b", "write a/b", "fsync a/b", "rename a/b", "open d"], ["rmdir a"]
    assert [*disk.steps[:6], *disk.steps[-1:]] == first + last
    assert set(disk.steps[6:-1]) <= {"sendfile d", "write d"}
