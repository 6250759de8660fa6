"""The values of a scan that was cut short: read back whole lines alone, of the same run and the same data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from identikit.errors import ResultError, SaveError
from identikit.scanning.part import Part

RUN = {"model": "m", "seed": 0, "least": None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two values of a scan that was cut short."""
    file = tmp_path / "scan.jsonl.part"
    part = opened(file)
    part.note(0, "layers.0", "abc", {"loss": np.array([[0.1, 3.0], [1 / 3, 4.0]])})
    part.note(1, "", "def", {"loss": np.array([1e-300])})
    part.close(done=False)
    return file


def opened(file: Path | None, run: Any = RUN, *, resume: bool = False, overwrite: bool = False) -> Part:
    part = Part(file, run)
    part.open(resume=resume, overwrite=overwrite)
    return part


def test_values_come_back_bit_for_bit(file: Path) -> None:
    part = opened(file, resume=True)
    found = part.value(0, "layers.0", "abc")
    assert found is not None
    assert np.array_equal(found["loss"], np.array([[0.1, 3.0], [1 / 3, 4.0]]))
    assert part.value(1, "", "def") == {"loss": np.array([1e-300])}
    assert part.value(1, "layers.0", "def") is None
    part.note(1, "layers.0", "def", {"loss": np.array([2.0])})
    part.close(done=False)
    assert len(file.read_bytes().splitlines()) == 4
    again = opened(file, resume=True)
    assert again.value(1, "layers.0", "def") is not None
    again.close(done=True)
    assert not file.exists()


@pytest.mark.parametrize("cut", range(1, 130, 7))
def test_a_line_that_was_being_written(file: Path, cut: int) -> None:
    text = file.read_bytes()
    file.write_bytes(text[:-cut])
    whole = text[:-cut].count(b"\n")
    part = opened(file, resume=True)
    assert len(part.known) == max(0, whole - 1)
    part.note(7, "x", "f", {"loss": np.array([1.0])})
    part.close(done=False)
    part = opened(file, resume=True)
    assert part.value(7, "x", "f") == {"loss": np.array([1.0])}
    assert len(part.known) == max(0, whole - 1) + 1
    part.close(done=True)


def test_refusals(file: Path) -> None:
    content = file.read_bytes()
    with pytest.raises(SaveError, match=r"holds a scan that was cut short\. Go on with it by --resume, or start anew"):
        opened(file)
    with pytest.raises(ResultError, match=r"belongs to another scan; it differs in seed: 0 and 7 \(the file's first\)"):
        opened(file, {**RUN, "seed": 7}, resume=True)
    part = opened(file, resume=True)
    with pytest.raises(ResultError, match=r"was measured on other data: the 1st batch differs\. Use --overwrite\.$"):
        part.value(0, "layers.0", "other")
    part.close(done=False)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "line", [b"[]\n", b"{}\n", b"nonsense\n", b'{"batch": 0, "plan": "a", "values": {}}\n', b"\xff\n"]
)
def test_damage(file: Path, line: bytes) -> None:
    file.write_bytes(file.read_bytes() + line)
    with pytest.raises(ResultError, match=r"line 4"):
        opened(file, resume=True)


@pytest.mark.parametrize("text", [b"", b"mine\n", b"{}\n", b'{"format": "identikit.scan"}\n'])
def test_a_file_that_is_none(file: Path, text: bytes) -> None:
    """Empty: nothing was kept. Anything else is another's."""
    file.write_bytes(text)
    if not text:
        part = opened(file, resume=True)
        assert part.known == {}
        part.close(done=True)
        return
    with pytest.raises(ResultError):
        opened(file, resume=True)
    assert file.read_bytes() == text


def test_nothing_is_kept_without_a_file() -> None:
    part = opened(None)
    part.note(0, "a", "b", {})
    assert not part.kept
    assert part.value(0, "a", "b") is None
    part.clear()
    part.close(done=True)


def test_two_at_once(file: Path) -> None:
    part = opened(file, resume=True)
    with pytest.raises(SaveError):
        opened(file, resume=True)
    part.close(done=False)
