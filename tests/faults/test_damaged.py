"""Files that are read back, cut off at any byte, empty, changed or unreadable: the whole, a part, or one line."""

from __future__ import annotations

import errno
import functools
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import identikit as ik
import sample_results as sample
from faults import verbs
from faults.verbs import data, facts, mean, short
from identikit.errors import IdentikitError
from identikit.replaying.engine import Engine
from identikit.results import Front, ScanResult
from identikit.results.provenance import Provenance

FEW = 24  # cuts of a file that takes long to read, and flips of any


@dataclass(frozen=True)
class Kind:
    """A kind of file: how one is `made` (it returns the file), and what it is read as. `grows`: line by line.

    `slow`: to read. `wary`: whether a byte that is another is always noticed; JSON and safetensors hold no checksum.
    """

    name: str
    made: Callable[[Path], Path]
    read: Callable[[Path], Any]
    grows: bool = False
    slow: bool = False
    wary: bool = False


def written(name: str, write: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def made(place: Path) -> Path:
        write(place / name)
        return place / name

    return made


def in_folder(name: str, **how: Any) -> Callable[[Path], Path]:
    def made(place: Path) -> Path:
        return ik.save(short(), place / "x", inputs=data()[0][0], **how) / name

    return made


def loaded(file: Path) -> Any:
    model = ik.load(file.parent, model=verbs.small_net.made(), inputs=data()[0][0])
    return {name: value.tolist() for name, value in model.state_dict().items()}


def tensors(place: Path) -> Path:
    mean().write(place / "plan.json")
    return next(file for file in place.iterdir() if file.suffix != ".json")


def part(place: Path) -> Path:
    """The values of a scan that was stopped before its first row."""
    own, given = Engine.outputs, []

    def stopping(self: Engine, group: Any, plans: Any, *, full: bool) -> Iterator[Any]:
        for found in own(self, group, plans, full=full):
            yield found
            given.append(found)
            if len(given) == 9:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "outputs", stopping)
        with pytest.raises(KeyboardInterrupt):
            verbs.scan(place, again=False)
    return place / "a.jsonl.part"


def resumed(file: Path) -> Any:
    """The rows of the scan that goes on with these values."""
    place = file.parent / "again"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (shutil.copytree if file.is_dir() else os.link)(file, place / file.name)  # linked, so nothing is read here
    try:
        return facts(verbs.scan(place, again=True))
    except IdentikitError as error:
        raise type(error)(str(error).replace(str(place), str(file.parent))) from error


def healing(place: Path) -> Path:
    verbs.heal(place, again=False)
    return place / "a.heal"


def going_on(file: Path) -> Any:
    return verbs.weights(verbs.heal(file.parent, again=True))


@functools.cache
def estimator() -> Any:
    from identikit.tabular import ResNetRegressor

    draw = np.random.default_rng(0)
    how: dict[str, Any] = {"blocks": 1, "width": 8, "max_epochs": 1, "random_state": 0}
    return ResNetRegressor(**how).fit(draw.normal(size=(40, 2)), draw.normal(size=40))


def table(name: str) -> Callable[[Path], Path]:
    def made(place: Path) -> Path:
        estimator().save(place / "t")
        return place / "t" / name

    return made


def predicted(file: Path) -> Any:
    return type(estimator()).load(file.parent).predict(np.ones((2, 2))).tolist()


#: cuts of a file that is read fast, at most
MANY = 200
KINDS = (
    Kind("plan", written("plan.json", lambda file: ik.Plan.of(["layers.1"]).write(file)), lambda f: ik.Plan.read(f)),
    Kind("plan-tensors", tensors, lambda f: ik.Plan.read(f.parent / "plan.json"), wary=True),
    Kind("scan", written("a.jsonl", lambda file: sample.scan().write(file)), ScanResult.read, grows=True),
    Kind("front", written("a.front.json", lambda file: verbs.example().write(file)), Front.read),
    Kind("provenance", in_folder("identikit.json"), Provenance.read),
    Kind("part", part, resumed, slow=True),
    Kind("healing", healing, going_on, slow=True, wary=True),
    Kind("plan-of-a-folder", in_folder("plan.json"), loaded, slow=True),
    Kind("weights-of-a-folder", in_folder("model.safetensors"), loaded, slow=True),
    Kind("weights-of-a-plan", in_folder("identikit-weights.safetensors", format="plan"), loaded, slow=True),
    Kind("table", table("config.json"), predicted, slow=True),
    Kind("weights-of-a-table", table("weights.safetensors"), predicted, slow=True),
)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def outcome(kind: Kind, file: Path) -> Any:
    """What the file is read as, or None where it is refused as it should be: in one line that names it."""
    refused = None
    try:
        return kind.read(file)
    except IdentikitError as error:
        refused = str(error)
    assert "\n" not in refused
    assert str(file) in refused or str(file.parent) in refused, refused
    assert len(refused) > len(str(file)) + 15, refused
    return None


def test_cut_off(kind: Kind, tmp_path: Path) -> None:
    """Whole, a beginning of it in whole lines, or refused: never something else."""
    file = kind.made(tmp_path)
    content, whole = file.read_bytes(), kind.read(file)
    ends = range(len(content))
    seen = 0
    for end in [*ends[:: max(1, len(ends) // (FEW if kind.slow else MANY))], len(content) - 1]:
        file.write_bytes(content[:end])
        found = outcome(kind, file)
        seen += found is None
        right = found is None or found == whole or (kind.grows and set(found) < set(whole))
        assert right, f"cut at {end} of {len(content)}: {content[max(0, end - 40) : end]!r}"
    file.write_bytes(content)
    assert kind.read(file) == whole
    assert seen or kind.name == "part"


def test_one_byte_is_another(kind: Kind, tmp_path: Path) -> None:
    """Read, or refused in one line; nothing else is ever raised. What holds a checksum is always refused."""
    file = kind.made(tmp_path)
    content, whole = file.read_bytes(), kind.read(file)
    draw = torch.Generator().manual_seed(0)
    for _ in range(FEW if not kind.slow else FEW // 2):
        at = int(torch.randint(len(content), (1,), generator=draw))
        changed = bytearray(content)
        changed[at] ^= 1 << int(torch.randint(8, (1,), generator=draw))
        file.write_bytes(changed)
        found = outcome(kind, file)
        assert not kind.wary or found in (None, whole), at
        file.write_bytes(content)


def test_empty_or_a_folder(kind: Kind, tmp_path: Path) -> None:
    file = kind.made(tmp_path)
    whole = kind.read(file)
    file.write_bytes(b"")
    assert outcome(kind, file) in (None, whole)
    file.unlink()
    file.mkdir()
    found = outcome(kind, file)
    assert found is None or kind.name in ("plan-of-a-folder", "weights-of-a-folder")
    assert file.is_dir()


def test_no_right_to_read(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """root reads everything, so the refusal is put in by hand; what safetensors opens by itself is left out."""
    file = kind.made(tmp_path)
    if file.suffix == ".safetensors":
        return
    own = io.open

    def refusing(path: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(path, int) and os.path.basename(path) == file.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return own(path, *args, **kwargs)

    monkeypatch.setattr(io, "open", refusing)
    monkeypatch.setattr("builtins.open", refusing)
    assert outcome(kind, file) is None
    monkeypatch.undo()
    assert kind.read(file) is not None
