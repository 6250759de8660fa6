"""What is fuzzed: any bytes make either a sound object, which writes back to an equal one, or one line of refusal."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import sample_results as sample
from identikit.errors import IdentikitError, PlaceError, PlanError, ResultError
from identikit.places import check_path, expand, means_several
from identikit.plan import Edit, Plan
from identikit.results import Front, ScanResult
from identikit.results.provenance import Provenance
from identikit.results.read import read_result

if TYPE_CHECKING:
    from identikit.scanning.part import Part

#: The run that a `.part` is gone on with: a file of another run is refused before its values are looked at.
RUN = {"model": "m", "seed": 0, "race": False, "least": None, "confidence": 0.95}
LONGEST_MESSAGE = 1_500  # characters: a refusal may quote a place, which has 1,000 at most
_TREE = [
    "encoder",
    "encoder.layer",
    *(f"encoder.layer.{number}{part}" for number in range(12) for part in ("", ".mlp")),
]


class BrokenError(AssertionError):
    """What no reader may do."""


def plan(content: bytes) -> None:
    """A plan file."""
    read = _read(content, "plan.json", Plan.read, PlanError)
    if read is not None:
        _same(read, Plan.from_json(json.loads(json.dumps(read.to_json(), allow_nan=False))))
        _same(read, _again(read, "again.json", Plan.read))
        _same(read, read | read)


def scan(content: bytes) -> None:
    """A scan file."""
    read = _read(content, "scan.jsonl", ScanResult.read, ResultError)
    if read is not None:
        _same(read, _again(read, "again.jsonl", ScanResult.read))
        _same(read.rows, ScanResult(read.header, reversed(read.rows)).rows)
        _same(read, read.merge(read))
        _or_refused(lambda: sample.scan().merge(read), ResultError)
        for name in read.header.metrics:
            read.ranked(name)


def front(content: bytes) -> None:
    """A front file, by the reader that does not know which kind it will be."""
    read = _read(content, "front.json", read_result, ResultError)
    if isinstance(read, Front):
        _same(read, _again(read, "again.json", Front.read))
        read.plan()  # every point of a sound front can be applied
        for point in read.points:
            read.plan(point.dropped)


def provenance(content: bytes) -> None:
    """The history that a saved folder holds."""
    read = _read(content, "identikit.json", Provenance.read, ResultError)
    if read is not None:
        _same(read, Provenance.from_json(json.loads(json.dumps(read.to_json(), allow_nan=False))))


def part(content: bytes) -> None:
    """The values that a scan which was cut short goes on with."""
    with _folder() as folder:
        path = Path(folder) / "scan.jsonl.part"
        path.write_bytes(content)
        first = _opened(path)
        if first is None:
            _refused_again(path, content)
            return
        again = _opened(path)
        if again is None or first.scores != again.scores or _values(first) != _values(again):
            raise BrokenError("the values differ when they are read again")


def places(content: bytes) -> None:
    """A place, and in the lines after it the paths of a model (a small encoder's where there are none).

    The paths are what a module may sensibly be called: they are the user's own, the place may be a stranger's.
    """
    place, _, rest = content.decode("utf-8", "replace").partition("\n")
    known = [path for path in rest.split("\n") if path.isprintable() and all(path.split("."))] or _TREE
    found = _or_refused(lambda: expand(place, known), PlaceError)
    edit = _or_refused(lambda: Edit("identity", place), PlanError)
    if found is not None:
        check_path(place)
        if not found or not set(found) <= set(known) or (found != [place] and not means_several(place)):
            raise BrokenError(f"{place!r} means {found!r}")
    if edit is not None:
        _same(Plan(frozenset([edit])), Plan.from_json(Plan(frozenset([edit])).to_json()))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "plan": plan,
    "scan": scan,
    "front": front,
    "provenance": provenance,
    "part": part,
    "places": places,
}


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="identikit-fuzz-")


def _read(content: bytes, name: str, reader: Callable[[Path], Any], refusal: type[IdentikitError]) -> Any:
    with _folder() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return _or_refused(lambda: reader(path), refusal)


def _again(value: Any, name: str, reader: Callable[[Path], Any]) -> Any:
    """`value` after a file."""
    with _folder() as folder:
        value.write(Path(folder) / name)
        return reader(Path(folder) / name)


def _or_refused(act: Callable[[], Any], refusal: type[IdentikitError]) -> Any:
    """What `act` gives; None where it refuses as it should. Any other error comes out."""
    try:
        return act()
    except refusal as error:
        said = str(error)
    if not said or not said.isprintable() or len(said) > LONGEST_MESSAGE:
        raise BrokenError(f"this is no message of one line: {said[:2_000]!r}")
    return None


def _opened(path: Path) -> Part | None:
    """The values in the file; None where they are refused, in one line. The file stays as it is."""
    from identikit.scanning.part import Part  # brings torch, which the other targets do without

    kept = path.with_name("kept")
    shutil.copyfile(path, kept)
    values = Part(path, RUN)
    try:
        ok = _or_refused(lambda: values.open(resume=True, overwrite=False) or True, ResultError)
    finally:
        values.close(done=False)
    if ok and not path.exists():
        shutil.copyfile(kept, path)  # it held nothing, and went
    return values if ok else None


def _refused_again(path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        raise BrokenError("a file that was refused was changed")


def _values(values: Part) -> dict[Any, Any]:
    for _, rows in values.known.values():
        for array in rows.values():
            if not np.isfinite(array).all():
                raise BrokenError("values that are no numbers were read")
    if not all(np.isfinite(score) for score in values.scores.values()):
        raise BrokenError("a score that is no number was read")
    return {
        key: (data, {name: array.tolist() for name, array in rows.items()})
        for key, (data, rows) in values.known.items()
    }


def _same(one: Any, other: Any) -> None:
    if one != other:
        raise BrokenError("what was read differs once it was written and read again")
